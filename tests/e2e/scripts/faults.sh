# What cannot heal is said in one clear line and not tried for ever; what can heal is tried for ever.
. /e2e/lib/common.sh
install_package
add_users
operator import $keymanager
config=/etc/bls-signer/config.toml
cp $config /tmp/config.toml

starts() { journalctl -u bls-signer.service --no-pager -o cat | grep -c '^Starting bls-signer' || true; }
heals() {
  systemctl start bls-signer.service
  expect "the service" active "$(systemctl is-active bls-signer.service)"
  operator listed $keymanager
  client sign $signing
}

step "a wrong configuration"
before=$(starts)
echo 'no_such_key = 1' >>$config
refused "failed" systemctl restart bls-signer.service
expect "the service" failed "$(systemctl is-active bls-signer.service || true)"
eventually 5 logged 'no_such_key'
sleep 3
expect "the number of starts without a client" $((before + 1)) "$(starts)"
# A waiting client starts it again, but in no busy loop; and is served when the cause is gone.
client sign $signing 1 >/tmp/waiting.log 2>&1 &
waiting=$!
sleep 7
[ "$(starts)" -gt $((before + 1)) ] || fail "the client did not start it"
[ "$(starts)" -le $((before + 6)) ] || fail "started $(starts) times in 7 s"
cp /tmp/config.toml $config
wait $waiting || fail "the client that waited was not served: $(cat /tmp/waiting.log)"
heals

step "a ledger that is gone"
systemctl stop bls-signer.socket bls-signer-keymanager.socket bls-signer.service
mkdir /tmp/ledger
mv $state/ledger.sqlite* /tmp/ledger/
refused "failed" systemctl start bls-signer.service
eventually 5 logged 'slashing-protection init'
[ ! -e $state/ledger.sqlite ] || fail "a new ledger was made"
mv /tmp/ledger/* $state/
heals

step "a credential that this machine cannot decrypt"
systemctl stop bls-signer.socket bls-signer-keymanager.socket bls-signer.service
cp -a $seal /tmp/seal
before=$(starts)
echo another | systemd-creds encrypt --name=another - /tmp/another 2>/dev/null
cp /tmp/another $seal
refused "failed" systemctl start bls-signer.service
sleep 2
expect "the exit status" 243 "$(property ExecMainStatus)"
expect "the number of starts" $((before + 1)) "$(starts)"
cp -a /tmp/seal $seal
heals

step "killed"
before=$(property MainPID)
kill -KILL "$before"
client sign $signing
[ "$(property MainPID)" != "$before" ] || fail "not restarted"
operator listed $keymanager
