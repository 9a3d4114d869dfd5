SELECT h.schema_version, h.ledger_id::text, h.genesis_validators_root, h.losses_accepted,
    (SELECT system_identifier FROM pg_control_system())::text AS system_identifier,
    CASE WHEN pg_is_in_recovery() THEN NULL ELSE substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END AS timeline,
    current_setting('synchronous_standby_names') <> ''
        AND current_setting('synchronous_commit') IN ('on', 'remote_apply')
        AND current_setting('fsync') = 'on' AS is_replicated,
    has_table_privilege('bls_signer.keys', 'DELETE') AS may_delete,
    EXISTS (SELECT FROM pg_stat_activity WHERE usename = current_user AND wait_event = 'SyncRep'
            AND query_start < clock_timestamp() - interval '3 seconds') AS is_waiting
FROM bls_signer.head h
