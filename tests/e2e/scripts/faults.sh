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

step "a backup of the running daemon, and a ledger made of it"
bls-signer backup /root/backup.json
expect "the backup" "600 root:root" "$(stat -c '%a %U:%G' /root/backup.json)"
refused "end it first" bls-signer restore /root/backup.json
systemctl stop bls-signer.socket bls-signer-keymanager.socket bls-signer.service
mv $state /tmp/newest
install -d -m 0700 -o bls-signer -g bls-signer $state
bls-signer restore /root/backup.json
systemctl start bls-signer.socket bls-signer-keymanager.socket bls-signer.service
operator listed $keymanager
logged 'restored from a backup.*WATERMARKS WERE LIFTED' || fail "the restored ledger is believed"
refused 412 client sign $signing
systemctl stop bls-signer.socket bls-signer-keymanager.socket bls-signer.service

step "an older copy of the state directory"
rm -r $state
cp -a /tmp/newest $state
sed -n 1p /var/cache/bls-signer/anchor-* >/dev/null || fail "there is no anchor on the disk"
heals
systemctl stop bls-signer.socket bls-signer-keymanager.socket bls-signer.service
mv $state /tmp/newer
cp -a /tmp/newest $state
refused "failed" systemctl start bls-signer.service
eventually 5 logged 'rolled back by'
rm -r $state
mv /tmp/newer $state
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
