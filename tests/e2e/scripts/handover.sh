# Without a seal, imported keys live in memory only; systemd keeps that memory over a restart, an upgrade and a crash, but not
# over a stop.
. /e2e/lib/common.sh
install_package
add_users
rm $seal
systemctl restart bls-signer.service
operator import $keymanager
client sign $signing
[ -z "$(find $state -newer $state/ledger.sqlite -name '*.json')" ] || fail "a keystore was written"
[ "$(property NFileDescriptorStore)" -ge 1 ] || fail "nothing is in the file descriptor store"

step "restart"
systemctl restart bls-signer.service
operator listed $keymanager
client sign $signing

step "killed"
before=$(property MainPID)
kill -KILL "$before"
client sign $signing
[ "$(property MainPID)" != "$before" ] || fail "not restarted"

step "upgrade"
dpkg-deb -R "$package" /tmp/package
sed -i "s/^Version: .*/Version: 99/" /tmp/package/DEBIAN/control
dpkg-deb --root-owner-group -Zgzip -z1 -b /tmp/package /tmp/99.deb >/dev/null
before=$(property MainPID)
dpkg -i /tmp/99.deb >/tmp/dpkg.log 2>&1 || { cat /tmp/dpkg.log; fail "upgrade"; }
[ "$(property MainPID)" != "$before" ] || fail "not restarted"
[ ! -e $seal ] || fail "the upgrade made a seal"
operator listed $keymanager
client sign $signing

step "stop"
systemctl stop bls-signer.socket bls-signer-keymanager.socket bls-signer.service
systemctl start bls-signer.service
expect "the keys" "[]" "$(curl -sS --unix-socket $keymanager http://localhost/eth/v1/keystores | jq -c .data)"
