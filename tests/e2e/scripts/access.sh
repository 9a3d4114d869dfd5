# Installed with one command, it signs for the client group and for nobody else.
. /e2e/lib/common.sh

step "install"
install_package
add_users
expect "the service" active "$(systemctl is-active bls-signer.service)"
for unit in bls-signer.service bls-signer.socket bls-signer-keymanager.socket; do
  expect "$unit" enabled "$(systemctl is-enabled $unit)"
done
expect "the TCP socket" disabled "$(systemctl is-enabled bls-signer-tcp.socket || true)"
expect "the TCP socket" inactive "$(systemctl is-active bls-signer-tcp.socket || true)"
expect "the metrics socket" disabled "$(systemctl is-enabled bls-signer-metrics.socket || true)"
expect "the signing socket" "660 root:bls-signer-clients" "$(stat -c '%a %U:%G' $signing)"
expect "the keymanager socket" "600 root:root" "$(stat -c '%a %U:%G' $keymanager)"
expect "the sockets' directory" "755 root:root" "$(stat -c '%a %U:%G' /run/bls-signer)"
expect "the state directory" "700 bls-signer:bls-signer" "$(stat -c '%a %U:%G' $state)"
expect "the ledger" "600 bls-signer:bls-signer" "$(stat -c '%a %U:%G' $state/ledger.sqlite)"
expect "the seal's mode" "600 root:root" "$(stat -c '%a %U:%G' $seal)"
expect "the seal's length" 64 "$(systemd-creds decrypt --name=seal $seal - | wc -c)"

step "an operator imports, a client signs"
operator import $keymanager
operator listed $keymanager
client sign $signing
operator sign $signing

step "others do not get in"
refused PermissionError stranger sign $signing
refused PermissionError stranger listed $keymanager
refused PermissionError client listed $keymanager
refused "404" client listed $signing
operator listed $keymanager

step "curl over the socket"
expect "upcheck" OK "$(runuser -u vc -- curl -sS --unix-socket $signing http://localhost/upcheck)"
expect "the number of keys" 6 "$(runuser -u vc -- curl -sS --unix-socket $signing http://localhost/api/v1/eth2/publicKeys |
  python3 -c 'import json, sys; print(len(json.load(sys.stdin)))')"

step "the daemon's own user can do as little as said"
pid=$(property MainPID)
expect "its capabilities" 0000000000000000 "$(awk '/^CapEff/ { print $2 }' "/proc/$pid/status")"
expect "its system call filter" 2 "$(awk '/^Seccomp:/ { print $2 }' "/proc/$pid/status")"
expect "no new privileges" 1 "$(awk '/^NoNewPrivs/ { print $2 }' "/proc/$pid/status")"
expect "its core limit" 0 "$(awk '/^Max core file size/ { print $5 }' "/proc/$pid/limits")"
expect "swap" 0 "$(property MemorySwapMax)"

step "metrics, once their socket is enabled: for every local user, and nothing else there"
scrape() { runuser -u stranger -- curl -sSf "$@"; }
metrics=http://127.0.0.1:9001/metrics
refused "Failed to connect" scrape $metrics
systemctl enable -q --now bls-signer-metrics.socket
# The socket is there at once and answers when the service has come back with it.
scrape $metrics >/tmp/metrics
grep -q '^bls_signer_build_info{' /tmp/metrics || fail "no build information in a scrape: $(head -5 /tmp/metrics)"
expect "keys in a scrape" 6 "$(awk '/^bls_signer_keys\{/ { keys += $2 } END { print keys }' /tmp/metrics)"
expect "the end of OpenMetrics" "# EOF" "$(scrape -H 'Accept: application/openmetrics-text; version=1.0.0' $metrics | tail -n 1)"
for path in api/v1/eth2/publicKeys eth/v1/keystores; do
  expect "$path there" 404 "$(runuser -u stranger -- curl -sS -o /dev/null -w '%{http_code}' "http://127.0.0.1:9001/$path")"
done
client sign $signing
systemctl disable -q --now bls-signer-metrics.socket
gone() { ! scrape $metrics; }
eventually 20 gone
client sign $signing
