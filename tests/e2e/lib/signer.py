#!/usr/bin/env python3
"""A validator client and an operator, as far as the end-to-end scripts need them. Only Python's own library and openssl.

signer.py import SOCKET [N]          imports the keys of the first N cases over the Keymanager API
signer.py sign SOCKET [N]            asks for the N cases' signatures and compares each with the expected one
signer.py sign tcp:HOST:PORT [N]     the same over TCP
signer.py listed SOCKET [N]          demands that exactly the N keys are listed
signer.py keystore DIRECTORY N       writes the N-th case's keystore and its password there, and prints the public key
signer.py history SOCKET             prints the first case's protection history and deletes its key
signer.py load SOCKET FILE           asks on 4 connections until FILE exists; exit status 1 if anything at all goes wrong

The cases are sign requests of tests/vectors with the signatures that another implementation made for them, one key each. A
signature is determined by key and message, so it is right exactly if it is equal.
"""
import hashlib
import http.client
import json
import os
import pathlib
import secrets
import socket
import subprocess
import sys
import threading
import time
import uuid

VECTORS = pathlib.Path(__file__).resolve().parent.parent / "vectors" / "sign-requests.jsonl"
KINDS = ["ATTESTATION", "BLOCK_V2", "RANDAO_REVEAL", "SYNC_COMMITTEE_MESSAGE", "AGGREGATE_AND_PROOF_V2", "AGGREGATION_SLOT"]
PASSWORD = "an end-to-end test"
CONNECTIONS = 4


def main(arguments):
    match arguments:
        case ["import", where, *rest]:
            import_keys(where, cases(*rest))
        case ["sign", where, *rest]:
            for case in cases(*rest):
                sign(connect(where), case)
        case ["listed", where, *rest]:
            listed(where, cases(*rest))
        case ["history", where]:
            history(where, cases(1)[0])
        case ["keystore", directory, number]:
            write_keystore(pathlib.Path(directory), cases()[int(number) - 1])
        case ["load", where, stop]:
            load(where, pathlib.Path(stop))
        case _:
            sys.exit(__doc__)


def cases(count=len(KINDS)):
    """One case of each kind, each with a key of its own, all of one network; the first is an attestation."""
    every = [json.loads(line) for line in pathlib.Path(os.environ.get("VECTORS", VECTORS)).read_text().splitlines()]
    found = []
    for kind in KINDS:
        keys = {case["public_key"] for case in found}
        found.append(next(
            case for case in every
            if case["type"] == kind and case["network"] == "mainnet" and not case["tags"] and case["public_key"] not in keys
        ))
    return found[: int(count)]


def connect(where):
    if where.startswith("tcp:"):
        return http.client.HTTPConnection(where.removeprefix("tcp:"), timeout=20)
    return UnixConnection(where)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=20)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def ask(connection, method, path, body=None):
    """The answer's JSON."""
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    connection.request(method, path, body and json.dumps(body), headers)
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != 200:
        raise Failed(f"{method} {path}: {answer.status} {text.decode(errors='replace')}")
    return json.loads(text)


def sign(connection, case):
    signature = ask(connection, "POST", f"/api/v1/eth2/sign/{case['public_key']}", case["request"])["signature"]
    if signature != case["signature"]:
        raise Failed(f"{case['type']}: signature {signature} instead of {case['signature']}")


def import_keys(where, some):
    body = {"keystores": [json.dumps(keystore(case)) for case in some], "passwords": [PASSWORD] * len(some)}
    answer = ask(connect(where), "POST", "/eth/v1/keystores", body)
    statuses = [item["status"] for item in answer["data"]]
    if statuses != ["imported"] * len(some):
        raise Failed(f"import: {answer}")
    # It says so when keys will not survive a restart.
    for message in {item.get("message") for item in answer["data"]} - {None, ""}:
        print(message)


def listed(where, some):
    answer = ask(connect(where), "GET", "/eth/v1/keystores")
    keys = {item["validating_pubkey"] for item in answer["data"]}
    if keys != {case["public_key"] for case in some}:
        raise Failed(f"listed: {keys}")


def history(where, case):
    answer = ask(connect(where), "DELETE", "/eth/v1/keystores", {"pubkeys": [case["public_key"]]})
    if [item["status"] for item in answer["data"]] != ["deleted"]:
        raise Failed(f"delete: {answer}")
    print(answer["slashing_protection"])


def write_keystore(directory, case):
    (directory / f"{case['type']}.json").write_text(json.dumps(keystore(case)))
    (directory / f"{case['type']}.txt").write_text(PASSWORD)
    print(case["public_key"])


def keystore(case):
    """An EIP-2335 keystore of the case's key."""
    salt, iv = secrets.token_bytes(32), secrets.token_bytes(16)
    derived = hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), salt, 262144, dklen=32)
    cipher = subprocess.run(
        ["openssl", "enc", "-aes-128-ctr", "-K", derived[:16].hex(), "-iv", iv.hex()],
        input=bytes.fromhex(case["secret_key"][2:]), stdout=subprocess.PIPE, check=True,
    ).stdout
    return {
        "version": 4,
        "uuid": str(uuid.uuid4()),
        "path": "m/12381/3600/0/0/0",
        "pubkey": case["public_key"][2:],
        "crypto": {
            "kdf": {"function": "pbkdf2", "message": "",
                    "params": {"dklen": 32, "c": 262144, "prf": "hmac-sha256", "salt": salt.hex()}},
            "checksum": {"function": "sha256", "message": hashlib.sha256(derived[16:] + cipher).hexdigest(), "params": {}},
            "cipher": {"function": "aes-128-ctr", "message": cipher.hex(), "params": {"iv": iv.hex()}},
        },
    }


def load(where, stop):
    """A closed idle connection is opened anew, as every HTTP client does; whatever else goes wrong is a failure."""
    some, lock, failures = cases(), threading.Lock(), []
    figures = {"answers": 0, "connections": 0, "idle closed": 0, "slowest ms": 0}

    def client(number):
        connection, fresh, turn = None, True, number
        while not stop.exists():
            started = time.monotonic()
            if connection is None:
                connection, fresh = connect(where), True
                figure("connections")
            try:
                sign(connection, some[turn % len(some)])
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError) as error:
                # Not one byte of an answer, on a connection that had answered before: it was idle when it was closed.
                if fresh:
                    failed(error)
                else:
                    figure("idle closed")
                connection = None
                continue
            except (OSError, http.client.HTTPException, Failed, ValueError) as error:
                failed(error)
                connection = None
                continue
            fresh = connection.sock is None
            if fresh:
                connection = None
            figure("answers")
            slowest(time.monotonic() - started)
            turn += 1
            # Some hundred requests a second, so that there is processor time left for what goes on meanwhile.
            time.sleep(0.01)

    def figure(name):
        with lock:
            figures[name] += 1

    def slowest(duration):
        with lock:
            figures["slowest ms"] = max(figures["slowest ms"], round(duration * 1000))

    def failed(error):
        with lock:
            failures.append(f"{type(error).__name__}: {error}")
        time.sleep(0.2)

    clients = [threading.Thread(target=client, args=[number]) for number in range(CONNECTIONS)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    print(", ".join(f"{name} {number}" for name, number in figures.items()), f"failures {len(failures)}", sep=", ")
    if failures or not figures["answers"]:
        raise Failed("\n".join(failures[:5]))


class Failed(Exception):
    """The signer did not do what it should."""


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (Failed, OSError) as error:
        sys.exit(f"signer.py: {type(error).__name__}: {error}")
