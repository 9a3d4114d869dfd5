# Clients: who may have what signed, by user, group, token and certificate, over the sockets of the packaged service.
. /e2e/lib/common.sh
install_package
add_users
useradd --system --groups bls-signer-clients exits
operator import $keymanager
configuration=/etc/bls-signer/config.toml
# One case a kind, each with a key of its own: attestation, block, RANDAO reveal, sync committee message, and two of aggregates.
python3 -c '
import sys
sys.path.insert(0, "/e2e/lib")
import json, signer
for number, case in enumerate(signer.cases()):
    json.dump(case["request"], open(f"/tmp/request{number}.json", "w"))
    print(case["public_key"])' >/tmp/cases
mapfile -t keys </tmp/cases
chmod 644 /tmp/request*.json

# asked USER CASE [CURL'S ARGUMENTS...]: the status of an answer.
asked() {
  local user=$1 number=$2
  shift 2
  runuser -u "$user" -- curl -sS -o /dev/null -w '%{http_code}' --max-time 20 -H 'Content-Type: application/json' \
    -d "@/tmp/request$number.json" "$@" "$base/api/v1/eth2/sign/${keys[$number]}"
}
# The statuses of all cases, in one line.
row() {
  local user=$1 number statuses=""
  shift
  for number in "${!keys[@]}"; do statuses+=" $(asked "$user" "$number" "$@")"; done
  echo "${statuses# }"
}
listed_by() {
  local user=$1
  shift
  runuser -u "$user" -- curl -sS --max-time 20 "$@" "$base/api/v1/eth2/publicKeys" | python3 -c 'import json, sys; print(len(json.load(sys.stdin)))'
}
base=http://localhost

step "without clients, whoever reaches the socket has everything signed"
expect "the client group's user" "200 200 200 200 200 200" "$(row vc --unix-socket $signing)"

step "each client has its own keys and duties"
secret=$(bls-signer token new remote 2>/tmp/said | tail -n 1)
[ "${#secret}" -ge 40 ] || fail "no token: $secret $(cat /tmp/said)"
cat >>$configuration <<END

[[client]]
name = "vc"
user = "vc"
keys = ["${keys[0]}", "${keys[1]}", "${keys[2]}"]
duties = ["attest", "propose"]

[[client]]
name = "exits"
group = "exits"
keys = "all"
duties = ["exit"]

[[client]]
name = "remote"
token = "remote"
keys = "all"
duties = ["sync", "aggregate"]
END
bls-signer check >/tmp/check || fail "check: $(cat /tmp/check)"
grep -q 'vc  *3 yes  *yes ' /tmp/check || fail "the table: $(cat /tmp/check)"
systemctl restart bls-signer.service
expect "vc, by its user" "200 200 403 404 404 404" "$(row vc --unix-socket $signing)"
expect "exits, by its group" "403 403 403 403 403 403" "$(row exits --unix-socket $signing)"
expect "root, who is none" "403 403 403 403 403 403" "$(row root --unix-socket $signing)"
expect "vc with a token that is another's" "200 200 403 404 404 404" \
  "$(row vc --unix-socket $signing -H "Authorization: Bearer $secret")"
expect "root with the token" "403 403 403 200 200 200" "$(row root --unix-socket $signing -H "Authorization: Bearer $secret")"
expect "vc's keys" 3 "$(listed_by vc --unix-socket $signing)"
expect "the token's keys" 6 "$(listed_by root --unix-socket $signing -H "Authorization: Bearer $secret")"
eventually 10 logged 'none of the clients'

step "over TCP nobody has a user; a token counts"
systemctl enable -q --now bls-signer-tcp.socket
base=http://127.0.0.1:9000
expect "vc over TCP" "403 403 403 403 403 403" "$(row vc)"
expect "the token over TCP" "403 403 403 200 200 200" "$(row vc -H "Authorization: Bearer $secret")"

step "a certificate that an authority vouches for"
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout /tmp/ca.key -out /etc/bls-signer/ca.crt 2>/dev/null
# certificate NAME ALTERNATIVE-NAME
certificate() {
  openssl req -newkey rsa:2048 -nodes -subj "/CN=$1" -keyout "/tmp/$1.key" -out "/tmp/$1.csr" 2>/dev/null
  printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$2" >/tmp/extensions
  openssl x509 -req -in "/tmp/$1.csr" -CA /etc/bls-signer/ca.crt -CAkey /tmp/ca.key -CAcreateserial -days 2 -out "/tmp/$1.crt" \
    -extfile /tmp/extensions 2>/dev/null
}
certificate server DNS:localhost
certificate known DNS:vc1.example
certificate unknown DNS:vc2.example
install -m 644 /tmp/server.crt /etc/bls-signer/tls.crt
install -o bls-signer -g bls-signer -m 600 /tmp/server.key /etc/bls-signer/tls.key
chmod 644 /tmp/*.key
clients=$(sed -n '/^\[\[client\]\]/,$p' $configuration)
sed -i '/^\[\[client\]\]/,$d' $configuration
cat >>$configuration <<END
tls_cert = "/etc/bls-signer/tls.crt"
tls_key = "/etc/bls-signer/tls.key"
tls_client_ca = "/etc/bls-signer/ca.crt"
$clients

[[client]]
name = "certified"
cert_san = "DNS:vc1.example"
keys = ["${keys[2]}"]
duties = ["randao"]
END
systemctl restart bls-signer.service
base=https://localhost:9000
shown() { echo --resolve localhost:9000:127.0.0.1 --cacert /etc/bls-signer/ca.crt --cert "/tmp/$1.crt" --key "/tmp/$1.key"; }
# shellcheck disable=SC2046
expect "the certificate" "404 404 200 404 404 404" "$(row vc $(shown known))"
# shellcheck disable=SC2046
expect "another one" "403 403 403 403 403 403" "$(row vc $(shown unknown))"

step "what a reload takes away is gone"
base=http://localhost
sed -i 's/^duties = \["attest", "propose"\]/duties = ["attest"]/' $configuration
systemctl reload bls-signer.service
gone() { [ "$(asked vc 1 --unix-socket $signing)" = 403 ]; }
eventually 20 gone
expect "what is left" "200 403 403 404 404 404" "$(row vc --unix-socket $signing)"
