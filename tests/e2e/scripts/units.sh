# The units are understood by this systemd, and as tight as we say.
. /e2e/lib/common.sh
install_package

step "verify"
units=$(dpkg -L bls-signer | grep -E '/systemd/system/.*\.(service|socket)$')
expect "the number of units" 10 "$(echo "$units" | wc -l)"
# shellcheck disable=SC2086
systemd-analyze verify --man=yes $units >/tmp/verify.log 2>&1 || true
grep -i bls-signer /tmp/verify.log | grep -v 'MemoryZSwapMax\|identity' >/tmp/unknown.log || true
# What 252 does not know stands in the unit's first lines; 257 knows everything.
if [ "$(systemctl --version | awk 'NR == 1 { print $2 }')" -ge 257 ]; then cp /tmp/verify.log /tmp/unknown.log; limit=3; else limit=5; fi
[ ! -s /tmp/unknown.log ] || fail "systemd-analyze verify: $(cat /tmp/unknown.log)"

step "the drop-ins among the examples"
drop_ins=/etc/systemd/system/bls-signer.service.d
mkdir -p $drop_ins
for drop_in in shared-ledger-tcp tpm-counter; do
  dpkg-deb --fsys-tarfile "$package" | tar -xO "./usr/share/doc/bls-signer/examples/$drop_in.conf" >"$drop_ins/$drop_in.conf"
done
systemd-analyze verify --man=no "$(echo "$units" | grep '/bls-signer\.service$')" >/tmp/drop-ins.log 2>&1 || true
! grep $drop_ins /tmp/drop-ins.log || fail "systemd-analyze verify: $(cat /tmp/drop-ins.log)"
rm -r $drop_ins

step "exposure, at most 0.$limit"
systemd-analyze security --threshold="$limit" --no-pager bls-signer.service >/tmp/security.log ||
  fail "systemd-analyze security: $(grep -E '✗|Overall' /tmp/security.log)"
grep Overall /tmp/security.log

step "exposure of the fetcher, which has a network"
systemd-analyze security --threshold=15 --no-pager bls-signer-fetch.service >/tmp/security.log ||
  fail "systemd-analyze security: $(grep -E '✗|Overall' /tmp/security.log)"
grep Overall /tmp/security.log

step "what the unit asks for is what the process has"
for setting in MemorySwapMax=0 LimitCORE=0 RestartPreventExitStatus=2\ 78\ 243 StartLimitIntervalUSec=0; do
  expect "${setting%%=*}" "${setting#*=}" "$(property "${setting%%=*}")"
done
expect "what the TCP socket denies" "0.0.0.0/0 ::/0" "$(property IPAddressDeny bls-signer-tcp.socket | tr " " "\n" | sort | xargs)"

step "manual pages and completions"
man -w 8 bls-signer >/dev/null
man -w 5 bls-signer.toml >/dev/null
bash -n /usr/share/bash-completion/completions/bls-signer
grep -q '^groups:' /usr/share/bls-signer/prometheus/alerts.yml
grep -q '"title": "bls-signer"' /usr/share/bls-signer/grafana/bls-signer.json
grep -q '^#compdef bls-signer' /usr/share/zsh/vendor-completions/_bls-signer
grep -q 'complete -c bls-signer' /usr/share/fish/vendor_completions.d/bls-signer.fish

step "a thread that takes fetched keys stands behind those that sign"
niceness() {
  local thread
  for thread in /proc/"$(property MainPID)"/task/*; do
    [ "$(cat "$thread/comm")" != "$1" ] || awk '{ print $19 }' "$thread/stat"
  done | sort -u
}
has_niceness() { [ "$(niceness "$1")" = "$2" ]; }
systemctl start bls-signer-fetch.socket bls-signer.service
eventually 20 has_niceness fetch 10
expect "the niceness of signing threads" 0 "$(niceness signing)"
