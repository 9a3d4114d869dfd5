# The package's own tests, as Debian's machinery runs them.
step() { printf -- '-- %s\n' "$*"; }
step "autopkgtest"
# This is a container, which the null runner cannot know.
autopkgtest --ignore-restrictions=isolation-container --no-built-binaries /e2e/debs/bls-signer_*.deb /e2e/source -- null
