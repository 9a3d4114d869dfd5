# The TCP socket: off until asked for by one command, in use at once, gone at once, loopback only.
. /e2e/lib/common.sh
tcp=tcp:127.0.0.1:9000
sockets="bls-signer.socket bls-signer-keymanager.socket bls-signer-tcp.socket"

if [ "$BOOT" = 2 ]; then
  step "there after a reboot"
  client sign $tcp
  client sign $signing
  exit
fi

install_package
add_users
# What is in memory only must outlive these changes, too.
rm $seal
systemctl restart bls-signer.service
operator import $keymanager
refused "ConnectionRefused" client sign $tcp

step "one command while the service runs, and a client of the other socket notices nothing"
rm -f /tmp/enough
client load $signing /tmp/enough >/tmp/load.log 2>&1 &
load=$!
systemctl enable -q --now bls-signer-tcp.socket
client sign $tcp
stranger sign $tcp
refused 404 client listed $tcp
touch /tmp/enough
wait "$load" || fail "under load: $(cat /tmp/load.log)"

step "taken away while the service runs: nobody serves it any more"
systemctl disable -q --now bls-signer-tcp.socket
# The command does not wait for the restart that it causes.
gone() { ! client sign $tcp; }
eventually 20 gone
refused "ConnectionRefused" client sign $tcp
eventually 20 systemctl is-active --quiet bls-signer.service
client sign $signing

step "a port that is taken, and a restart of the service when it is free"
python3 -c '
import socket, time
s = socket.create_server(("127.0.0.1", 9000))
print("taken", flush=True)
time.sleep(600)' >/tmp/taken &
squatter=$!
eventually 10 grep -q taken /tmp/taken
if systemctl enable -q --now bls-signer-tcp.socket 2>/dev/null; then fail "the socket has a port that was taken"; fi
eventually 20 systemctl is-active --quiet bls-signer.service
client sign $signing
kill $squatter
wait $squatter || true
systemctl restart bls-signer.service
client sign $tcp

step "another port"
mkdir -p /etc/systemd/system/bls-signer-tcp.socket.d
printf '[Socket]\nListenStream=\nListenStream=127.0.0.1:9001\n' >/etc/systemd/system/bls-signer-tcp.socket.d/port.conf
systemctl daemon-reload
systemctl restart bls-signer-tcp.socket
client sign tcp:127.0.0.1:9001
refused "ConnectionRefused" client sign $tcp
rm -r /etc/systemd/system/bls-signer-tcp.socket.d

step "however often it is started within seconds"
systemctl daemon-reload
for _ in 1 2 3 4 5 6 7; do systemctl restart bls-signer-tcp.socket; done
client sign $tcp

step "stopped as a whole it stays stopped"
systemctl daemon-reload
# shellcheck disable=SC2086
systemctl stop $sockets bls-signer.service
idle() { [ -z "$(systemctl list-jobs --no-legend 'bls-signer*')" ]; }
eventually 20 idle
expect "the units" "inactive inactive inactive inactive" "$(systemctl is-active $sockets bls-signer.service | xargs)"
head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n' | systemd-creds encrypt --name=seal - $seal
systemctl start bls-signer.service
operator import $keymanager
client sign $tcp

step "any other address of this machine is let in by nothing, even if the socket is bound to it"
ip address add 192.0.2.1/32 dev lo
mkdir -p /etc/systemd/system/bls-signer-tcp.socket.d
printf '[Socket]\nListenStream=\nListenStream=0.0.0.0:9000\n' >/etc/systemd/system/bls-signer-tcp.socket.d/all.conf
systemctl daemon-reload
systemctl restart bls-signer-tcp.socket
client sign $tcp
refused "imeout" timeout 5 python3 -c '
import socket
s = socket.create_connection(("192.0.2.1", 9000), timeout=2, source_address=("192.0.2.1", 0))'
rm -r /etc/systemd/system/bls-signer-tcp.socket.d
exit 10
