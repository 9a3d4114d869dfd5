# A process that stands still is replaced, whether it or its disk is the reason.
. /e2e/lib/common.sh
install_package
add_users
operator import $keymanager
client sign $signing 1

step "a stopped process"
before=$(property MainPID)
kill -STOP "$before"
# The client waits in the backlog and is served by the next process.
client sign $signing 1
after=$(property MainPID)
[ "$after" != "$before" ] || fail "the process was not replaced"
logged 'Watchdog timeout' || fail "no watchdog timeout in the journal"
expect "the process" active "$(systemctl is-active bls-signer.service)"

step "a disk that hangs"
mkdir -p /etc/systemd/system/bls-signer.service.d
cat >/etc/systemd/system/bls-signer.service.d/hang.conf <<-UNIT
	[Service]
	Environment=LD_PRELOAD=/e2e/lib/hang.so
	ExecPaths=/e2e/lib
UNIT
systemctl daemon-reload
systemctl restart bls-signer.service
operator listed $keymanager
client sign $signing 1
before=$(property MainPID)
# From now on no sync ever ends. The attestation is on disk already; the block's record can no longer get there.
touch $state/hang
if client sign $signing 2 2>/tmp/refusal; then fail "a block was signed without a record of it"; fi
grep -e 500 -e RemoteDisconnected /tmp/refusal || fail "the refusal is: $(cat /tmp/refusal)"
timeouts() { journalctl -u bls-signer --no-pager -o cat | grep -c 'Watchdog timeout'; }
expect "a second watchdog timeout" 2 "$(for _ in $(seq 100); do if [ "$(timeouts)" = 2 ]; then break; fi; sleep 0.2; done; timeouts)"
rm $state/hang
logged 'ledger did not answer' || fail "the reason is not in the journal"
client sign $signing
[ "$(property MainPID)" != "$before" ] || fail "the process was not replaced"
