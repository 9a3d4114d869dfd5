-- Web3Signer's slashing-protection history straight from its PostgreSQL, as a minimal interchange file (EIP-3076): for each key the
-- highest block and attestation that it has signed, or its low watermark where that is higher. Reads only.
--
--   psql --no-psqlrc --file=web3signer-history.sql postgresql://USER@HOST/web3signer >history.json
--   bls-signer slashing-protection import history.json
--
-- Stop Web3Signer first, all replicas of it: nothing that it signs afterwards would be in the file. While anybody else is connected
-- to the database this ends with an error. The schema is the newest one of Web3Signer, or the one before (database_version 12, 11).
\set ON_ERROR_STOP on
\set QUIET on
\pset format unaligned
\pset tuples_only on
\pset pager off
\encoding UTF8

BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;

DO $$
DECLARE
    found bigint;
    schema_version integer;
BEGIN
    -- Who may not see what kind of session it is sees NULL.
    SELECT count(*) INTO found FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND coalesce(backend_type, 'client backend') = 'client backend';
    IF found > 0 THEN
        RAISE EXCEPTION '% other sessions are connected to this database: stop Web3Signer, all replicas of it, first', found;
    END IF;
    SELECT version INTO schema_version FROM database_version WHERE id = 1;
    IF schema_version IS NULL OR schema_version NOT IN (11, 12) THEN
        RAISE EXCEPTION 'database_version is %, and 11 and 12 are known here: use web3signer eth2 export', schema_version;
    END IF;
    SELECT count(*) INTO found FROM metadata WHERE length(genesis_validators_root) = 32;
    IF found <> 1 THEN
        RAISE EXCEPTION 'the database names % chains instead of one: has Web3Signer ever signed with it?', found;
    END IF;
    SELECT count(*) INTO found FROM validators WHERE length(public_key) <> 48;
    IF found > 0 THEN
        RAISE EXCEPTION '% validators have no BLS public key: is this a database of Web3Signer''s eth2?', found;
    END IF;
    SELECT count(*) INTO found FROM validators WHERE NOT enabled;
    IF found > 0 THEN
        RAISE WARNING '% of the keys were deleted over the Keymanager API; their history is in the file as well', found;
    END IF;
    SELECT count(*) INTO found FROM metadata m
    WHERE to_jsonb(m) ->> 'high_watermark_slot' IS NOT NULL OR to_jsonb(m) ->> 'high_watermark_epoch' IS NOT NULL;
    IF found > 0 THEN
        RAISE WARNING 'there is a high watermark, for which the file has no place: see slashing-protection high-watermark';
    END IF;
END
$$;

WITH blocks AS (
    SELECT validator_id, max(slot) AS slot FROM signed_blocks GROUP BY validator_id
),
attestations AS (
    SELECT validator_id, max(source_epoch) AS source_epoch, max(target_epoch) AS target_epoch
    FROM signed_attestations GROUP BY validator_id
),
-- greatest() passes over what is NULL.
watermarks AS (
    SELECT
        v.public_key,
        greatest(b.slot, l.slot) AS slot,
        greatest(a.source_epoch, l.source_epoch) AS source_epoch,
        greatest(a.target_epoch, l.target_epoch) AS target_epoch
    FROM validators v
    LEFT JOIN blocks b ON b.validator_id = v.id
    LEFT JOIN attestations a ON a.validator_id = v.id
    LEFT JOIN low_watermarks l ON l.validator_id = v.id
)
SELECT json_build_object(
    'metadata', json_build_object(
        'interchange_format_version', '5',
        'genesis_validators_root', '0x' || encode(genesis_validators_root, 'hex')
    ),
    'data', (
        SELECT coalesce(json_agg(json_build_object(
            'pubkey', '0x' || encode(public_key, 'hex'),
            'signed_blocks', CASE WHEN slot IS NULL THEN '[]'::json
                ELSE json_build_array(json_build_object('slot', slot::text)) END,
            'signed_attestations', CASE WHEN target_epoch IS NULL THEN '[]'::json
                ELSE json_build_array(json_build_object(
                    'source_epoch', source_epoch::text, 'target_epoch', target_epoch::text)) END
        ) ORDER BY public_key), '[]'::json)
        FROM watermarks
    )
)
FROM metadata;

COMMIT;
