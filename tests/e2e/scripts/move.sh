# The keys move to another machine, by the commands of docs/backup.md, and what they signed on the old one binds them on the new one.
# The machine becomes another by the loss of the package, of its state and of the key that its credentials are encrypted with.
. /e2e/lib/common.sh
install_package
add_users
operator import $keymanager
client sign $signing

# The commands of a section, numbered from 1.
block() {
  sed -n "/^## $1/,/^## /p" /e2e/docs/backup.md |
    awk -v number="$2" '/^ *```sh$/ { inside = 1; n++; next } /^ *```$/ { inside = 0 } inside && n == number { sub(/^   /, ""); print }'
}
run_block() {
  block "$@" >/tmp/block.sh
  [ -s /tmp/block.sh ] || fail "the page has no block $*"
  bash -euo pipefail /tmp/block.sh >/tmp/block.log 2>&1 || { cat /tmp/block.log; fail "the page's commands: $*"; }
}
# Asks for the N-th case's signature; prints the status.
ask() {
  python3 -c '
import sys
sys.path.insert(0, "/e2e/lib")
import json, signer
case = signer.cases()[int(sys.argv[1]) - 1]
json.dump(case["request"], open("/tmp/request.json", "w"))
print(case["public_key"])' "$1" >/tmp/key
  curl -sS --unix-socket $signing -o /tmp/answer -w '%{http_code}' -H 'Content-Type: application/json' -d @/tmp/request.json \
    "http://localhost/api/v1/eth2/sign/$(cat /tmp/key)"
}
another_machine() {
  apt-get purge -y -qq bls-signer >/dev/null 2>&1
  rm -r $state $seal
  rm -f /var/lib/systemd/credential.secret
}

step "out of the old machine"
cp -a $seal /tmp/seal
cp -a $state /tmp/state
run_block "To another machine" 1
expect "the keystores" 6 "$(find /run/move/keystores -name '*.json' -size +0 | wc -l)"
expect "the service" inactive "$(systemctl is-active bls-signer.service || true)"

step "into the new one"
another_machine
install_package
run_block "To another machine" 2
grep -q 'epoch' /tmp/block.log || fail "no watermarks are shown: $(cat /tmp/block.log)"
[ ! -e /run/move ] || fail "secrets are left in /run/move"
operator listed $keymanager
refused "is not above target" client sign $signing 1
expect "another duty" 200 "$(ask 3)"

step "a lost machine: keystores alone, and watermarks at the present"
another_machine
install_package
mkdir -p /tmp/backup/keystores /tmp/backup/passwords
for n in 1 2; do operator keystore /tmp/backup/keystores $n >/dev/null; done
mv /tmp/backup/keystores/*.txt /tmp/backup/passwords/
cd /tmp/backup
run_block "The machine is lost" 1
refused 412 client sign $signing 1

step "a copy of the state directory with the seal of another machine: said once, and not tried for ever"
systemctl stop bls-signer.socket bls-signer-keymanager.socket bls-signer.service
rm -r $state
cp -a /tmp/state $state
cp -a /tmp/seal $seal
refused failed systemctl start bls-signer.service
expect "the exit status" 243 "$(property ExecMainStatus)"
if bls-signer check >/tmp/checked 2>&1; then cat /tmp/checked; fail "check finds nothing wrong"; fi
grep -i 'WRONG.*seal' /tmp/checked || fail "check does not name the seal: $(cat /tmp/checked)"
