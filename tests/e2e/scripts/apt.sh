# The package out of a signed repository, by `apt install bls-signer`, and what apt does with one that somebody has changed.
. /e2e/lib/common.sh

step "an administrator adds the repository"
cp /e2e/apt/bls-signer.sources /etc/apt/sources.list.d/
apt-get update -qq -o Dir::Etc::SourceList=/dev/null >/tmp/apt.log 2>&1 || { cat /tmp/apt.log; fail "apt-get update"; }
if grep -E '^[WE]:' /tmp/apt.log; then fail "apt-get update has something to say"; fi
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends bls-signer >/tmp/apt.log 2>&1 ||
  { cat /tmp/apt.log; fail "apt-get install"; }
add_users

step "it signs"
operator import $keymanager 1
client sign $signing 1
apt-cache policy bls-signer | grep -q "file:/e2e/apt stable/main" || fail "it is from elsewhere: $(apt-cache policy bls-signer)"

step "what is in it is written down"
sbom=/usr/share/doc/bls-signer/sbom.cdx.json
[ -e $sbom ] || { gzip -dk $sbom.gz; }
python3 - $sbom <<'PYTHON'
import json, sys
document = json.load(open(sys.argv[1]))
names = {component["name"] for component in document["components"]}
missing = {"blst", "hyper", "rusqlite", "sqlite", "tokio"} - names
assert document["bomFormat"] == "CycloneDX" and not missing, missing
assert "proptest" not in names, "what tests alone use is not shipped"
PYTHON

step "a repository that somebody has changed is refused"
cp -r /e2e/apt /tmp/apt
sed -i 's,file:/e2e/apt,file:/tmp/apt,' /etc/apt/sources.list.d/bls-signer.sources
sed -i 's/^Version: .*/Version: 99/' /tmp/apt/dists/stable/main/binary-*/Packages
rm -rf /tmp/apt/dists/stable/main/binary-*/Packages.gz /tmp/apt/dists/stable/main/binary-*/by-hash /var/lib/apt/lists/*
if apt-get update -qq -o Dir::Etc::SourceList=/dev/null >/tmp/apt.log 2>&1; then cat /tmp/apt.log; fail "apt took it"; fi
sed -i 's/^Suite: .*/Suite: other/' /tmp/apt/dists/stable/InRelease
if apt-get update -qq -o Dir::Etc::SourceList=/dev/null >/tmp/apt.log 2>&1; then cat /tmp/apt.log; fail "apt took a changed InRelease"; fi
