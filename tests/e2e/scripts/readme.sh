# The commands of the README, as they stand there.
. /e2e/lib/common.sh

# The block of commands after a line that begins with these words.
block() {
  awk -v words="$1" 'index($0, words) == 1 { found = 1 } found && /^```$/ { exit } inside { print } found && /^```sh$/ { inside = 1 }' \
    /e2e/README.md
}
mkdir /tmp/readme
cd /tmp/readme
operator keystore /tmp/readme 2 >two
operator keystore /tmp/readme 1 >one
mv BLOCK_V2.json other.json
mv ATTESTATION.json keystore.json
mv ATTESTATION.txt password.txt

step "on Debian"
# The package is built already, and lies where the README's build leaves it.
block "(For an apt repository" | sed "s|^apt-get install .*|apt-get install -y -qq $package|" >debian.sh
[ "$(wc -l <debian.sh)" -ge 4 ] || fail "the README's commands are not found"
useradd --system vc
CLIENT=vc bash -euo pipefail debian.sh >debian.log 2>&1 || { cat debian.log; fail "the README's commands for Debian"; }
operator listed $keymanager 1
client sign $signing 1
stranger() { runuser -u nobody -- python3 /e2e/lib/signer.py "$@"; }
stranger sign tcp:127.0.0.1:9000 1
grep -q '^bls-signer  *UP' debian.log || fail "the service does not run: $(cat debian.log)"

step "over curl"
mv other.json keystore.json
block "Import a keystore" >curl.sh
[ "$(wc -l <curl.sh)" -ge 4 ] || fail "the README's commands are not found"
bash -euo pipefail curl.sh >curl.log 2>&1 || { cat curl.log; fail "the README's curl lines"; }
grep -q "$(cat one)" curl.log && grep -q "$(cat two)" curl.log || fail "the keys are not listed: $(cat curl.log)"
operator listed $keymanager 2
client sign $signing 2

step "sign with curl"
python3 -c '
import sys
sys.path.insert(0, "/e2e/lib")
import json, signer
case = signer.cases(1)[0]
json.dump(case["request"], open("/tmp/readme/request.json", "w"))
print(case["signature"])' >expected
expect "the signature" "$(cat expected)" "$(runuser -u vc -- curl -sS --unix-socket $signing -H 'Content-Type: application/json' \
  -d @request.json "http://localhost/api/v1/eth2/sign/$(cat one)" | jq -r .signature)"

step "the tools of the command line"
bls-signer keys list | grep -q "$(cut -c1-12 one)"
bls-signer status
bls-signer slashing-protection status | grep -q "^keys  *2 " || fail "root does not find the ledger"
bls-signer check >checked || fail "bls-signer check as root"
grep -q "in /var/lib/bls-signer, in use" checked || fail "root's check does not find the ledger"
runuser -u bls-signer -- bls-signer check --config /etc/bls-signer/config.toml || fail "bls-signer check"
