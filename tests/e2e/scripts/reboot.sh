# Keys and their history survive a reboot; a client that boots first waits for the signer.
. /e2e/lib/common.sh

if [ "$BOOT" = 1 ]; then
  install_package
  add_users
  operator import $keymanager
  client sign $signing
  # Has no dependency on the signer, and knows nothing of it but its socket.
  cat >/etc/systemd/system/early-client.service <<-UNIT
	[Service]
	Type=oneshot
	RemainAfterExit=yes
	User=vc
	ExecStart=/usr/bin/python3 /e2e/lib/signer.py sign $signing
	[Install]
	WantedBy=multi-user.target
	UNIT
  systemctl enable -q early-client.service
  systemctl stop bls-signer.service
  sleep 1
  step "started by a client that came first"
  expect "the service" inactive "$(systemctl is-active bls-signer.service || true)"
  systemctl start early-client.service
  expect "the service" active "$(systemctl is-active bls-signer.service)"
  step "reboot"
  exit 10
fi

expect "the client that started at boot" active "$(systemctl is-active early-client.service)"
expect "the service" active "$(systemctl is-active bls-signer.service)"
operator listed $keymanager
client sign $signing
step "the history is there"
operator history $keymanager | python3 -c '
import json, sys
history = json.load(sys.stdin)
assert [len(key["signed_attestations"]) for key in history["data"]] == [1], history'
