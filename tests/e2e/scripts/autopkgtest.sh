# The package's own tests, as Debian's machinery runs them.
step() { printf -- '-- %s\n' "$*"; }
step "autopkgtest"
autopkgtest --no-built-binaries /e2e/debs/bls-signer_*.deb /e2e/source -- null
