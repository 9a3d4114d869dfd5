# systemctl reload reads the key files again, and no client notices.
. /e2e/lib/common.sh
install_package
add_users
operator import $keymanager 5
keys=$state/keystores
install -d -o bls-signer -g bls-signer -m 0700 $keys
printf 'keystores_path = "%s"\nkeystores_passwords_path = "%s"\n' $keys $keys >>/etc/bls-signer/config.toml
systemctl restart bls-signer.service
operator listed $keymanager 5
process=$(property MainPID)

step "a file more"
operator keystore $keys 6 >/dev/null
chown bls-signer: $keys/*
operator listed $keymanager 5
systemctl reload bls-signer.service
eventually 10 operator listed $keymanager 6
client sign $signing

step "a file less"
rm $keys/*
systemctl reload bls-signer.service
eventually 10 operator listed $keymanager 5
client sign $signing 5

expect "the process" "$process" "$(property MainPID)"
expect "the service" active "$(systemctl is-active bls-signer.service)"
