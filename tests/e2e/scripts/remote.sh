# A client on another host: docs/remote-clients.md, its commands as they stand there. The other host is a network namespace.
. /e2e/lib/common.sh
install_package
add_users
operator import $keymanager
page=/e2e/docs/remote-clients.md

# The client's host, and a third one behind the same wire.
ip netns add client
ip link add signer type veth peer name eth0 netns client
ip address add 192.0.2.10/24 dev signer
ip link set signer up
ip -n client address add 192.0.2.20/24 dev eth0
ip -n client address add 192.0.2.30/24 dev eth0
ip -n client link set eth0 up
elsewhere() { ip netns exec client "$@"; }

step "the commands of the page"
sed -n '/^## A client on another host/,/^## /p' $page | awk '/^ *```sh$/ { inside = 1; next } /^ *```$/ { inside = 0 } inside { sub(/^   /, ""); print }' >page.sh
[ "$(grep -c . page.sh)" -ge 15 ] || fail "the page's commands are not found"
bash -euo pipefail page.sh >page.log 2>&1 || { cat page.log; fail "the page's commands"; }
grep -q '"status":"OK"\|^OK' page.log || fail "no answer to the last one: $(cat page.log)"

python3 -c '
import sys
sys.path.insert(0, "/e2e/lib")
import json, signer
case = signer.cases(1)[0]
json.dump(case["request"], open("/tmp/request.json", "w"))
print(case["public_key"], case["signature"])' >/tmp/case
read -r key signature </tmp/case
ask() {
  elsewhere curl -sS --max-time 10 --interface "$1" --cacert /etc/bls-signer/tls.crt -H 'Content-Type: application/json' \
    -H 'Accept: application/json' -d @/tmp/request.json "https://$2/api/v1/eth2/sign/$key"
}

step "the client's host gets a signature, another one not even a connection"
expect "the signature" "$signature" "$(ask 192.0.2.20 192.0.2.10:9000 | jq -r .signature)"
if ask 192.0.2.30 192.0.2.10:9000 2>/tmp/refusal; then fail "a host that was not named got in"; fi
grep -q 'timed out' /tmp/refusal || fail "refused, but in another way: $(cat /tmp/refusal)"

step "nor does anybody without TLS, under another name, or at the keys"
refused "" elsewhere curl -sS --max-time 10 --fail http://192.0.2.10:9000/api/v1/eth2/publicKeys
expect "another name" 403 "$(elsewhere curl -sS --max-time 10 --interface 192.0.2.20 --cacert /etc/bls-signer/tls.crt -o /dev/null \
  -w '%{http_code}' -H 'Host: elsewhere.example' https://192.0.2.10:9000/api/v1/eth2/publicKeys)"
expect "the keymanager's route" 404 "$(elsewhere curl -sS --max-time 10 --interface 192.0.2.20 --cacert /etc/bls-signer/tls.crt \
  -o /dev/null -w '%{http_code}' https://192.0.2.10:9000/eth/v1/keystores)"

step "the Unix socket is as it was"
client sign $signing
