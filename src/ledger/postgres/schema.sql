-- bls-signer's shared ledger, version 1: tables, guard and the daemons' rights. Run by their owner, never by a daemon.
CREATE SCHEMA IF NOT EXISTS bls_signer;

CREATE TABLE IF NOT EXISTS bls_signer.head (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    schema_version int NOT NULL,
    ledger_id uuid NOT NULL DEFAULT gen_random_uuid(),
    genesis_validators_root bytea NOT NULL CHECK (octet_length(genesis_validators_root) = 32),
    -- Nobody signs at or beyond these (the high watermark).
    stop_slot bigint CHECK (stop_slot >= 0),
    stop_epoch bigint CHECK (stop_epoch >= 0),
    -- Nobody signs below these, with whatever key: `ledger accept-loss` sets them.
    floor_slot bigint CHECK (floor_slot >= 0),
    floor_epoch bigint CHECK (floor_epoch >= 0),
    losses_accepted int NOT NULL DEFAULT 0
);

CREATE TABLE IF NOT EXISTS bls_signer.keys (
    public_key bytea PRIMARY KEY CHECK (octet_length(public_key) = 48),
    deleted boolean NOT NULL DEFAULT false,
    block_slot bigint CHECK (block_slot >= 0),
    block_root bytea CHECK (octet_length(block_root) = 32),
    source_epoch bigint CHECK (source_epoch >= 0),
    -- Not above the source of necessity: a history may have such a message in it, and each watermark stands for itself.
    target_epoch bigint CHECK (target_epoch >= 0),
    attestation_root bytea CHECK (octet_length(attestation_root) = 32),
    CHECK ((source_epoch IS NULL) = (target_epoch IS NULL)),
    CHECK (block_slot IS NOT NULL OR block_root IS NULL),
    CHECK (source_epoch IS NOT NULL OR attestation_root IS NULL)
) WITH (fillfactor = 50);

-- Whatever a client sends: a watermark never falls, and a root never changes in place.
CREATE OR REPLACE FUNCTION bls_signer.only_up() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'bls_signer: a watermark can only go up' USING ERRCODE = '23514';
END $$;
DROP TRIGGER IF EXISTS only_up ON bls_signer.keys;
CREATE TRIGGER only_up BEFORE UPDATE ON bls_signer.keys FOR EACH ROW
WHEN (NEW.public_key <> OLD.public_key
   OR (OLD.block_slot IS NOT NULL AND (NEW.block_slot IS NULL OR NEW.block_slot < OLD.block_slot
        OR (NEW.block_slot = OLD.block_slot
            AND NEW.block_root IS NOT NULL AND NEW.block_root IS DISTINCT FROM OLD.block_root)))
   OR (OLD.target_epoch IS NOT NULL AND (NEW.target_epoch IS NULL
        OR NEW.target_epoch < OLD.target_epoch OR NEW.source_epoch < OLD.source_epoch
        OR (NEW.target_epoch = OLD.target_epoch AND NEW.source_epoch = OLD.source_epoch
            AND NEW.attestation_root IS NOT NULL AND NEW.attestation_root IS DISTINCT FROM OLD.attestation_root))))
EXECUTE FUNCTION bls_signer.only_up();

-- The daemons' role, and the one they log in as. No DELETE, no TRUNCATE, no DDL.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'bls_signer_daemon') THEN
        CREATE ROLE bls_signer_daemon NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'bls_signer') THEN
        CREATE ROLE bls_signer LOGIN;
    END IF;
END $$;
GRANT bls_signer_daemon TO bls_signer;
-- A client that is gone without a word lets go of its locks.
ALTER ROLE bls_signer SET lock_timeout = '2s';
ALTER ROLE bls_signer SET synchronous_commit = 'on';
ALTER ROLE bls_signer SET idle_in_transaction_session_timeout = '10s';
GRANT USAGE ON SCHEMA bls_signer TO bls_signer_daemon;
-- UPDATE of a column is also what FOR SHARE asks for.
GRANT SELECT, UPDATE (stop_slot, stop_epoch) ON bls_signer.head TO bls_signer_daemon;
GRANT SELECT, INSERT, UPDATE ON bls_signer.keys TO bls_signer_daemon;
