# What the scripts have in common. Sourced by each, inside of the container, with -euo pipefail.
signing=/run/bls-signer/signer.sock
keymanager=/run/bls-signer/keymanager.sock
state=/var/lib/bls-signer
seal=/etc/credstore.encrypted/bls-signer.seal
package=$(echo /e2e/debs/bls-signer_*.deb)

step() { printf -- '-- %s\n' "$*"; }
fail() { printf 'failed: %s\n' "$*"; journalctl -u bls-signer -n 30 --no-pager -o short-precise | sed 's/^/   /'; exit 1; }

install_package() { apt-get install -y -qq --no-install-recommends "$package" >/tmp/apt.log 2>&1 || { cat /tmp/apt.log; fail "apt-get install"; }; }

# The local users of a validator host: one that runs the validator client, and one that has no business here.
add_users() {
  useradd --system --groups bls-signer-clients vc
  useradd --system stranger
}

operator() { python3 /e2e/lib/signer.py "$@"; }
client() { runuser -u vc -- python3 /e2e/lib/signer.py "$@"; }
stranger() { runuser -u stranger -- python3 /e2e/lib/signer.py "$@"; }

# The command must fail, and say why with these words.
refused() {
  local words=$1 output
  shift
  if output=$("$@" 2>&1); then fail "not refused: $*"; fi
  [[ $output == *"$words"* ]] || fail "refused, but not with '$words': $output"
}

expect() {
  local what=$1 wanted=$2 found=$3
  [ "$found" = "$wanted" ] || fail "$what is '$found' instead of '$wanted'"
}

property() { systemctl show --value --property="$1" "${2:-bls-signer.service}"; }

# Waits until the command succeeds.
eventually() {
  local seconds=$1 deadline=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || fail "not within $seconds s: $*"
    sleep 0.2
  done
}

# Reads to the end: a journalctl whose reader leaves early fails, and with it the pipe.
logged() { journalctl -u bls-signer --no-pager -o cat | grep -e "$1" >/dev/null; }
