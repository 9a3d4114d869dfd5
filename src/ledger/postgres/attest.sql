INSERT INTO bls_signer.keys AS k (public_key, source_epoch, target_epoch, attestation_root)
SELECT a.public_key, a.source_epoch, a.target_epoch, a.root
FROM (SELECT stop_epoch, floor_epoch FROM bls_signer.head
      WHERE schema_version = 1 AND genesis_validators_root = $1
        AND (NOT $2
          OR current_setting('synchronous_standby_names') <> ''
          AND current_setting('synchronous_commit') IN ('on', 'remote_apply')
          AND current_setting('fsync') = 'on')
      FOR SHARE) h
JOIN unnest($3::bytea[], $4::bytea[], $5::bigint[], $6::bigint[]) AS a(public_key, root, source_epoch, target_epoch)
  ON a.source_epoch <= a.target_epoch
  AND (h.stop_epoch IS NULL OR a.target_epoch < h.stop_epoch)
  AND (h.floor_epoch IS NULL OR (a.source_epoch >= h.floor_epoch AND a.target_epoch > h.floor_epoch))
ORDER BY a.public_key
ON CONFLICT (public_key) DO UPDATE
SET source_epoch = excluded.source_epoch, target_epoch = excluded.target_epoch,
    attestation_root = excluded.attestation_root
WHERE NOT k.deleted
  AND (k.target_epoch IS NULL
    OR (excluded.source_epoch >= k.source_epoch AND excluded.target_epoch > k.target_epoch)
    OR (excluded.source_epoch = k.source_epoch AND excluded.target_epoch = k.target_epoch
        AND excluded.attestation_root = k.attestation_root))
RETURNING k.public_key
