"""Real daemons on one shared ledger, each with the same keys, a state directory and a socket of its own."""

import hashlib
import http.client
import json
import os
import socket
import subprocess
import tempfile
import uuid
from itertools import zip_longest

from checker import Block, Vote
from clusters import CHAIN, DATABASE, ROOT, until

PROGRAM = os.environ.get("BLS_SIGNER", os.path.join(ROOT, "target/debug/bls-signer"))
# Shorter than a duty's own, so that a test of failures is over sooner.
SIGNING_SECONDS = 4
FORK_INFO = {
    "fork": {"previous_version": "0x02000001", "current_version": "0x03000001", "epoch": "0"},
    "genesis_validators_root": f"0x{CHAIN.hex()}",
}
# A request for what cannot be slashed.
RANDAO_REVEAL = {"type": "RANDAO_REVEAL", "randao_reveal": {"epoch": "5"}, "fork_info": FORK_INFO}


class Daemon:
    """A daemon that asks these servers, or those of an address. `log`: what it has said."""

    def __init__(self, directory, name, servers, secrets, *options):
        self.directory = os.path.join(directory, name)
        os.mkdir(self.directory)
        self.socket = os.path.join(self.directory, "signer.sock")
        self.log = os.path.join(self.directory, "log")
        keys = os.path.join(self.directory, "keys")
        os.mkdir(keys)
        for number, secret in enumerate(secrets):
            with open(os.path.join(keys, f"{number}.yaml"), "w") as file:
                file.write(f"type: file-raw\nkeyType: BLS\nprivateKey: \"0x{secret:064x}\"\n")
        state = os.path.join(self.directory, "state")
        subprocess.run([PROGRAM, "slashing-protection", "init", "--state-dir", state], check=True, capture_output=True)
        self.address = servers
        if not isinstance(servers, str):
            hosts = "&".join(f"host={server.sockets}" for server in servers)
            self.address = f"postgres://bls_signer@/{DATABASE}?{hosts}"
        self.command = [PROGRAM, "serve", "--network", "minimal", "--state-dir", state, "--listen",
                        f"all=unix:{self.socket}", "--key-config-path", keys, "--shared-ledger", self.address,
                        "--signing-timeout", str(SIGNING_SECONDS), *options]
        self.process = None
        self.start()

    def start(self):
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                            env={"XDG_RUNTIME_DIR": self.directory})

    def kill(self):
        self.process.kill()
        self.process.wait()

    def said(self):
        with open(self.log) as log:
            return log.read()

    def until_it_signs(self, key, epoch):
        """Waits until votes get a signature, from this epoch up."""
        epochs = iter(range(epoch, epoch + 1_000_000))
        until(lambda: self.sign(Vote(key, e := next(epochs), e + 1, bytes(32))) == 200,
              f"{self.directory} signs; it said {self.said()[-1500:]}")

    def public_keys(self):
        return [bytes.fromhex(key[2:]) for key in until(self._listed, f"keys; it said {self.said()[-1500:]}")]

    def _listed(self):
        try:
            return json.loads(self.ask("GET", "/api/v1/eth2/publicKeys")[1])
        except OSError:
            return None

    def metrics(self):
        """Families without labels, by their names."""
        lines = self.ask("GET", "/metrics")[1].decode().splitlines()
        samples = [line.split(" ") for line in lines if not line.startswith("#") and "{" not in line]
        return {name: float(value) for name, value in samples}

    def keymanager(self, method, body):
        """The results of an import or a deletion of keystores."""
        status, answer = self.ask(method, "/eth/v1/keystores", json.dumps(body))
        if status != 200:
            raise AssertionError(f"{status}: {answer}")
        return json.loads(answer)["data"]

    def sign(self, message):
        """The answer's status; `None` if none came."""
        try:
            return self.ask("POST", f"/api/v1/eth2/sign/0x{message.key.hex()}", json.dumps(request(message)))[0]
        except (OSError, http.client.HTTPException):
            return None

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection("localhost", timeout=60)
        connection.sock = socket.socket(socket.AF_UNIX)
        try:
            connection.sock.settimeout(60)
            connection.sock.connect(self.socket)
            connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


class Daemons:
    """So many daemons with the same keys, gone at the end of a `with`. `servers`: for each daemon, those that it knows;
    `own_options`: for each, what the others have not.
    """

    def __init__(self, servers, key_count, *options, own_options=()):
        self.directory = tempfile.TemporaryDirectory(prefix="bls-signer-hosts-")
        secrets = range(1000, 1000 + key_count)
        self.all = []
        try:
            for number, (known, own) in enumerate(zip_longest(servers, own_options, fillvalue=())):
                self.all.append(Daemon(self.directory.name, f"host{number}", known, secrets, *options, *own))
            self.keys = self.all[0].public_keys()
            if len(self.keys) != key_count:
                raise AssertionError(f"{len(self.keys)} of {key_count} keys: {self.all[0].said()}")
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for daemon in self.all:
            daemon.kill()
        self.directory.cleanup()


def keystore(secret, password):
    """A secret as an EIP-2335 keystore, with the cheapest key derivation there is."""
    salt, iv = os.urandom(32), os.urandom(16)
    derived = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, 2, 32)
    cipher = ["openssl", "enc", "-aes-128-ctr", "-K", derived[:16].hex(), "-iv", iv.hex()]
    message = subprocess.run(cipher, input=secret.to_bytes(32, "big"), capture_output=True, check=True).stdout
    return json.dumps({"version": 4, "uuid": str(uuid.uuid4()), "path": "", "crypto": {
        "kdf": {"function": "pbkdf2", "message": "",
                "params": {"dklen": 32, "c": 2, "prf": "hmac-sha256", "salt": salt.hex()}},
        "checksum": {"function": "sha256", "params": {}, "message": hashlib.sha256(derived[16:] + message).hexdigest()},
        "cipher": {"function": "aes-128-ctr", "params": {"iv": iv.hex()}, "message": message.hex()}}})


def request(message):
    """The request to sign a message."""
    root, other = f"0x{message.root.hex()}", "0x" + "01" * 32
    if isinstance(message, Block):
        return {"type": "BLOCK_V2", "fork_info": FORK_INFO, "beacon_block": {"version": "CAPELLA", "block_header": {
            "slot": str(message.slot), "proposer_index": "3", "parent_root": other, "state_root": root,
            "body_root": other}}}
    return {"type": "ATTESTATION", "fork_info": FORK_INFO, "attestation": {
        "slot": str(message.target * 8), "index": "0", "beacon_block_root": root,
        "source": {"epoch": str(message.source), "root": other},
        "target": {"epoch": str(message.target), "root": other}}}
