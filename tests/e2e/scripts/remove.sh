# Removing keeps what protects validators; purging says what it keeps.
. /e2e/lib/common.sh

install_package
operator import $keymanager
client=$(pidof bls-signer)
operator sign $signing

step "remove"
said=$(apt-get remove -y -qq bls-signer 2>&1)
[[ $said != *"can still be"* && $said != *"triggering"* ]] || fail "remove reports its own doing as trouble: $said"
[ ! -e "/proc/$client" ] || fail "the daemon still runs"
[ ! -e $signing ] || fail "the signing socket is still there"
[ -e $state/ledger.sqlite ] || fail "the ledger is gone"
[ -e /etc/bls-signer/config.toml ] || fail "the configuration is gone"

step "install again: everything is as it was"
before=$(sha256sum $seal)
install_package
expect "the seal" "$before" "$(sha256sum $seal)"
eventually 10 operator listed $keymanager
operator sign $signing

step "purge"
said=$(apt-get purge -y -qq bls-signer 2>&1)
[[ $said == *"kept on purpose"*"$state"*"$seal"* ]] || fail "purge did not say what it keeps: $said"
[ -e $state/ledger.sqlite ] || fail "the ledger is gone"
[ ! -e /etc/bls-signer ] || fail "the configuration is still there: $(ls -lR /etc/bls-signer)"
# The anchors go with the ledger that is kept: without them the next start would lift its watermarks.
left=$(find /etc /usr /var/lib /run -xdev -name '*bls-signer*' ! -path "$state" ! -path "$seal" ! -path /run/bls-signer-ledger \
  ! -path '/var/lib/apt/*' 2>/dev/null || true)
expect "what is left" "" "$left"

step "install after a purge: the ledger that was kept counts"
install_package
eventually 10 operator listed $keymanager
operator sign $signing
