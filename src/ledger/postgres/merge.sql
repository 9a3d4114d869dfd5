INSERT INTO bls_signer.keys AS k (public_key, block_slot, block_root, source_epoch, target_epoch, attestation_root)
SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::bytea[], $4::bigint[], $5::bigint[], $6::bytea[]) ORDER BY 1
ON CONFLICT (public_key) DO UPDATE
SET block_slot = GREATEST(k.block_slot, excluded.block_slot),
    block_root = CASE
        WHEN k.block_slot IS NULL OR excluded.block_slot > k.block_slot THEN excluded.block_root
        ELSE k.block_root
    END,
    source_epoch = GREATEST(k.source_epoch, excluded.source_epoch),
    target_epoch = GREATEST(k.target_epoch, excluded.target_epoch),
    attestation_root = CASE
        WHEN k.source_epoch >= excluded.source_epoch AND k.target_epoch >= excluded.target_epoch
            OR excluded.target_epoch IS NULL
            THEN k.attestation_root
        WHEN k.target_epoch IS NULL
            OR excluded.source_epoch >= k.source_epoch AND excluded.target_epoch >= k.target_epoch
            THEN excluded.attestation_root
    END
