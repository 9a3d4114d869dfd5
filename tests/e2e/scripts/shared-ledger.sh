# A ledger on PostgreSQL: docs/shared-ledger.md, its commands as they stand there, on Debian's own server and a standby of it.
. /e2e/lib/common.sh
page=/e2e/docs/shared-ledger.md
install_package
add_users
operator import $keymanager
client sign $signing
before=$(systemctl show bls-signer.service --property=PrivateNetwork,RestrictAddressFamilies,IPAddressDeny,SystemCallFilter)

step "a primary and its synchronous standby"
version=$(basename /usr/lib/postgresql/*)
as_postgres() { (cd / && runuser -u postgres -- "$@"); }
pg_createcluster "$version" db2
systemctl start "postgresql@$version-main.service"
rm -r "/var/lib/postgresql/$version/db2"
as_postgres pg_basebackup -D "/var/lib/postgresql/$version/db2" --write-recovery-conf --checkpoint=fast \
  -d 'host=/run/postgresql application_name=db2'
systemctl start "postgresql@$version-db2.service"

step "the commands of the page"
sed -n '/^### On the primary/,/^### On another/p' $page | sed -n '/^```sh$/,/^```$/{/^```/d;p}' >page.sh
expect "the number of the page's commands" 10 "$(wc -l <page.sh)"
bash -euo pipefail page.sh >page.log 2>&1 || { cat page.log; fail "the page's commands"; }
cat page.log

step "it signs, over restarts too, and the database has it on record"
client sign $signing
systemctl restart bls-signer.service
client sign $signing
on_record() { as_postgres psql -qtAc "SELECT count(*) FROM bls_signer.keys WHERE $1 IS NOT NULL" ledger; }
expect "the keys with a vote" 1 "$(on_record target_epoch)"
expect "the keys with a block" 1 "$(on_record block_slot)"
bls-signer status | grep -q '^bls-signer  *UP' || fail "bls-signer status: $(bls-signer status)"

step "the sandbox is as it was"
expect "the sandbox" "$before" \
  "$(systemctl show bls-signer.service --property=PrivateNetwork,RestrictAddressFamilies,IPAddressDeny,SystemCallFilter)"

step "without its standby nothing is signed that can be slashed, and health says why"
systemctl stop "postgresql@$version-db2.service"
refused 500 client sign $signing 1
health() { curl -sS -o /tmp/health -w '%{http_code}' --unix-socket $signing http://localhost/healthcheck; }
expect "health" 503 "$(health)"
grep -q standby /tmp/health || fail "health does not say why: $(cat /tmp/health)"
systemctl start "postgresql@$version-db2.service"
eventually 30 client sign $signing
expect "health" 200 "$(health)"
