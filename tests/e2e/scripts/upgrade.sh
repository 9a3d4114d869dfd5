# An upgrade whose configuration file differs from an edited one: whatever dpkg is told to do with it, the service goes on.
. /e2e/lib/common.sh
config=/etc/bls-signer/config.toml

# A package from before: nothing is set in its configuration, as in the first ones, and this host has edited that.
dpkg-deb -R "$package" /tmp/package
cp /tmp/package/etc/bls-signer/config.toml /tmp/shipped.toml
build() {
  sed -i "s/^Version: .*/Version: $1/" /tmp/package/DEBIAN/control
  dpkg-deb --root-owner-group -Zgzip -z1 -b /tmp/package "/tmp/$1.deb" >/dev/null
}
sed -i 's/^[a-z_]* = /#&/' /tmp/package/etc/bls-signer/config.toml
build 0.0.1
package=/tmp/0.0.1.deb
install_package
add_users
printf 'log_level = "debug"\n' >>$config
systemctl restart bls-signer.service
operator import $keymanager
client sign $signing

upgraded() {
  expect "the version" "$1" "$(dpkg-query -W -f '${Version}' bls-signer)"
  [ "$(property MainPID)" != "$before" ] || fail "the upgrade did not restart the service"
  expect "the service" active "$(systemctl is-active bls-signer.service)"
  operator listed $keymanager
  client sign $signing
  expect "the ledger" "$state/ledger.sqlite" "$(find / -xdev -name ledger.sqlite ! -path '/e2e/*' 2>/dev/null)"
  bls-signer check >/tmp/checked || fail "bls-signer check: $(cat /tmp/checked)"
}

step "nobody there to ask: dpkg stops, and the daemon from before signs on"
cp /tmp/shipped.toml /tmp/package/etc/bls-signer/config.toml
build 1
before=$(property MainPID)
if dpkg -i /tmp/1.deb </dev/null >/tmp/dpkg.log 2>&1; then fail "dpkg did not ask"; fi
client sign $signing
expect "the process" "$before" "$(property MainPID)"

step "the old file is kept"
dpkg --force-confold --configure bls-signer >/tmp/dpkg.log 2>&1 || { cat /tmp/dpkg.log; fail "configure"; }
upgraded 1
grep -q '^log_level = "debug"' $config || fail "the edited file is gone"
cmp -s /tmp/shipped.toml $config.dpkg-dist || fail "the new file is not beside it"

step "the new file is taken"
printf '# changed\n' >>/tmp/package/etc/bls-signer/config.toml
build 2
before=$(property MainPID)
dpkg --force-confnew -i /tmp/2.deb >/tmp/dpkg.log 2>&1 || { cat /tmp/dpkg.log; fail "upgrade"; }
upgraded 2
