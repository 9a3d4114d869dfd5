# Restarts and upgrades under load: no client is refused, none gets anything but the right answer. ROUNDS times as many by hand.
. /e2e/lib/common.sh
install_package
add_users
operator import $keymanager

listener() { awk -v path=$signing '$NF == path && $4 == "00010000" { print $7 }' /proc/net/unix; }
under_load() {
  local load inode
  inode=$(listener)
  rm -f /tmp/enough
  client load $signing /tmp/enough >/tmp/load.log 2>&1 &
  load=$!
  sleep 1
  "$@"
  sleep 1
  touch /tmp/enough
  wait "$load" || fail "under load: $(cat /tmp/load.log)"
  cat /tmp/load.log
  expect "the listening socket's inode" "$inode" "$(listener)"
}

restarts() {
  local n before
  for n in $(seq $((20 * ROUNDS))); do
    before=$(property MainPID)
    systemctl restart bls-signer.service
    [ "$(property MainPID)" != "$before" ] || fail "restart $n did not change the process"
    sleep 0.2
  done
}
step "$((20 * ROUNDS)) restarts"
under_load restarts

# The same content under higher versions.
dpkg-deb -R "$package" /tmp/package
upgrades=$((5 * ROUNDS))
for n in $(seq $upgrades); do
  sed -i "s/^Version: .*/Version: 99.$n/" /tmp/package/DEBIAN/control
  dpkg-deb --root-owner-group -Zgzip -z1 -b /tmp/package "/tmp/99.$n.deb" >/dev/null
done
upgrades() {
  local n before
  for n in $(seq $upgrades); do
    before=$(property MainPID)
    dpkg -i "/tmp/99.$n.deb" >/tmp/dpkg.log 2>&1 || { cat /tmp/dpkg.log; fail "upgrade $n"; }
    [ "$(property MainPID)" != "$before" ] || fail "upgrade $n did not restart the service"
  done
}
step "$upgrades upgrades"
under_load upgrades

step "keys and protection are as before"
operator listed $keymanager
client sign $signing
