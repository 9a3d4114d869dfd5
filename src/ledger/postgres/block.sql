INSERT INTO bls_signer.keys AS k (public_key, block_slot, block_root)
SELECT b.public_key, b.slot, b.root
FROM (SELECT stop_slot, floor_slot FROM bls_signer.head
      WHERE schema_version = 1 AND genesis_validators_root = $1
        AND (NOT $2
          OR current_setting('synchronous_standby_names') <> ''
          AND current_setting('synchronous_commit') IN ('on', 'remote_apply')
          AND current_setting('fsync') = 'on')
      FOR SHARE) h
JOIN unnest($3::bytea[], $4::bytea[], $5::bigint[]) AS b(public_key, root, slot)
  ON (h.stop_slot IS NULL OR b.slot < h.stop_slot) AND (h.floor_slot IS NULL OR b.slot > h.floor_slot)
ORDER BY b.public_key
ON CONFLICT (public_key) DO UPDATE
SET block_slot = excluded.block_slot, block_root = excluded.block_root
WHERE NOT k.deleted
  AND (k.block_slot IS NULL OR excluded.block_slot > k.block_slot
    OR (excluded.block_slot = k.block_slot AND excluded.block_root = k.block_root))
RETURNING k.public_key
