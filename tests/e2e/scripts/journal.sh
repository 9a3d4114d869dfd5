# What the administrator sees: fields in the journal, the state in systemctl status, and never a secret.
. /e2e/lib/common.sh
install_package
add_users
# Everything it can say, to find what it should not.
sed -i 's/^#log_level = .*/log_level = "trace"/' /etc/bls-signer/config.toml
grep -q '^log_level' /etc/bls-signer/config.toml
systemctl restart bls-signer.service
operator import $keymanager
client sign $signing

step "status"
# It is told every ten seconds.
eventually 30 sh -c 'systemctl status bls-signer.service | grep -q "Status: .*6 keys"'
systemctl status bls-signer.service | grep Status:

step "fields"
uid=$(id -u vc)
journalctl -u bls-signer -o json --no-pager >/tmp/journal.json
python3 - "$uid" <<'PYTHON'
import json
import sys

sys.path.insert(0, "/e2e/lib")
import signer

entries = [json.loads(line) for line in open("/tmp/journal.json")]
ours = [entry for entry in entries if entry.get("SYSLOG_IDENTIFIER") == "bls-signer" or entry.get("_COMM") == "bls-signer"]
names = sorted({name for entry in ours for name in entry})
print("fields:", *[name for name in names if not name.startswith(("_", "SYSLOG"))])
assert {entry["PRIORITY"] for entry in ours} <= {"4", "5", "6", "7"}, "errors in the journal"
signed = [entry for entry in ours if entry.get("BLS_VERDICT") == "signed"]
assert len(signed) == 6, signed
case = signer.cases(1)[0]
first = next(entry for entry in signed if entry["BLS_PUBKEY"] == case["public_key"])
assert first["BLS_ROOT"] == case["signing_root"], first
assert first["BLS_UID"] == sys.argv[1], first
assert int(first["BLS_PID"]) > 1 and int(first["LATENCY_US"]) > 0, first
print("caller:", first["BLS_UID"], first["BLS_PID"])
PYTHON

step "the catalog explains a message"
journalctl -u bls-signer -x --no-pager BLS_VERDICT=signed >/tmp/explained.log
grep -q "A duty was signed: " /tmp/explained.log || fail "no explanation: $(head -5 /tmp/explained.log)"

step "no secrets"
journalctl --no-pager -o export >/tmp/journal.export
python3 - <<'PYTHON'
import json
import sys

sys.path.insert(0, "/e2e/lib")
import signer

journal = open("/tmp/journal.export", "rb").read().lower()
secrets = [signer.PASSWORD] + [case["secret_key"][2:] for case in signer.cases()]
for secret in secrets:
    assert secret.lower().encode() not in journal, "a secret is in the journal"
    assert bytes(secret, "utf-8").hex().encode() not in journal
PYTHON
! grep -qi "$(systemd-creds decrypt --name=seal $seal -)" /tmp/journal.export || fail "the seal is in the journal"
