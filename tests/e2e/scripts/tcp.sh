# The TCP socket: off until asked for, loopback only.
. /e2e/lib/common.sh
install_package
add_users
operator import $keymanager
refused "ConnectionRefused" client sign tcp:127.0.0.1:9000

step "enable it the way the manual says"
systemctl stop bls-signer.socket bls-signer-keymanager.socket bls-signer.service
systemctl enable -q bls-signer-tcp.socket
systemctl start bls-signer-tcp.socket bls-signer.service
client sign tcp:127.0.0.1:9000
stranger sign tcp:127.0.0.1:9000
client sign $signing
refused 404 client listed tcp:127.0.0.1:9000

step "any other address of this machine is let in by nothing, even if the socket is bound to it"
ip address add 192.0.2.1/32 dev lo
mkdir -p /etc/systemd/system/bls-signer-tcp.socket.d
printf '[Socket]\nListenStream=\nListenStream=0.0.0.0:9000\n' >/etc/systemd/system/bls-signer-tcp.socket.d/all.conf
systemctl daemon-reload
systemctl stop bls-signer.socket bls-signer-keymanager.socket bls-signer.service
systemctl start bls-signer-tcp.socket bls-signer.service
client sign tcp:127.0.0.1:9000
refused "imeout" timeout 5 python3 -c '
import socket
s = socket.create_connection(("192.0.2.1", 9000), timeout=2, source_address=("192.0.2.1", 0))'
