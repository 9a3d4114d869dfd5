"""Two signers behind HAProxy, with the configuration that is shipped, and two PostgreSQL servers."""

import csv
import http.client
import itertools
import json
import os
import re
import socket
import subprocess
import tempfile
import threading
import unittest

from certificates import Authority
from checker import Block, Vote, check
from clients import Running
from clusters import ROOT, Pair, until
from daemons import RANDAO_REVEAL, Daemons, request

SHIPPED = os.path.join(ROOT, "packaging/haproxy/haproxy.cfg")
SIGNATURES_BETWEEN = 100
KEY_COUNT = 4


class Balanced:
    """Two daemons and HAProxy before them, all gone at the end of a `with`."""

    def __init__(self, pair):
        self.files = tempfile.TemporaryDirectory(prefix="bls-signer-haproxy-")
        authority = Authority(self.files.name)
        self.address = ("127.0.0.1", free_port())
        ports = [free_port(), free_port()]
        options = [self._listening(authority, number, port) for number, port in enumerate(ports, 1)]
        self.daemons = Daemons([(pair.primary, pair.standby)] * 2, KEY_COUNT, own_options=options)
        self.keys = self.daemons.keys
        self.epochs = itertools.count(1000)
        configuration = os.path.join(self.files.name, "haproxy.cfg")
        with open(SHIPPED) as shipped, open(configuration, "w") as file:
            file.write(self._configured(shipped.read(), authority, ports))
        self.statistics = os.path.join(self.files.name, "statistics")
        beside = os.path.join(self.files.name, "global.cfg")
        with open(beside, "w") as file:
            file.write(f"global\n    stats socket {self.statistics}\n")
        self.log = os.path.join(self.files.name, "log")
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(["haproxy", "-db", "-f", beside, "-f", configuration], stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL)
        until(self._listens, f"HAProxy listens; it said {self._said()}")
        self.until_well(2)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.daemons.__exit__()
        self.files.cleanup()

    def _listening(self, authority, number, port):
        """Options of the daemon which lets in nobody but the balancer."""
        certificate, key = authority.certificate(f"signer{number}")
        return ["--listen", f"signing=127.0.0.1:{port}", "--tls-cert", certificate, "--tls-key", key,
                "--tls-client-ca", authority.path]

    def _configured(self, text, authority, ports):
        """The shipped configuration with this test's addresses and files in it, each of which it must have."""
        certificate, key = authority.certificate("balancer")
        both = os.path.join(self.files.name, "both.pem")
        with open(both, "w") as file:
            for path in (certificate, key):
                with open(path) as part:
                    file.write(part.read())
        for shipped, ours in {"127.0.0.1:9000": "{}:{}".format(*self.address), "192.0.2.11:9000": f"127.0.0.1:{ports[0]}",
                              "192.0.2.12:9000": f"127.0.0.1:{ports[1]}", "/etc/haproxy/signers-ca.pem": authority.path,
                              "/etc/haproxy/balancer.pem": both}.items():
            bare = re.sub("(?m)^#.*", "", text)
            assert shipped in bare, f"{SHIPPED} lacks {shipped}"
            text = text.replace(shipped, ours)
        return text

    def _listens(self):
        if self.process.poll() is not None:
            raise AssertionError(f"HAProxy ended: {self._said()}")
        return os.path.exists(self.statistics)

    def ask(self, method, path, body=None):
        """The answer's status and body; status `None` if the balancer gave none."""
        connection = http.client.HTTPConnection(*self.address, timeout=60)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            return None, repr(error)
        finally:
            connection.close()

    def sign(self, message):
        return self.sign_by(message.key, request(message))

    def sign_by(self, key, body):
        return self.ask("POST", f"/api/v1/eth2/sign/0x{key.hex()}", json.dumps(body))

    def until_well(self, number):
        """Waits until so many signers are sent everything."""
        until(lambda: self._well() == number, f"{number} signers are well: {self._said()}")

    def _well(self):
        with socket.socket(socket.AF_UNIX) as asked:
            asked.settimeout(10)
            asked.connect(self.statistics)
            asked.sendall(b"show stat\n")
            with asked.makefile() as answer:
                rows = csv.DictReader(answer.read().removeprefix("# ").strip().splitlines())
        return sum(row["pxname"] == "signers" and row["svname"] != "BACKEND" and row["status"] == "UP" for row in rows)

    def _said(self):
        with open(self.log) as file:
            return file.read()[-1500:]


class Client(threading.Thread):
    """A validator client with one key: a block and a vote an epoch, each asked for once."""

    def __init__(self, balanced, key):
        super().__init__(daemon=True)
        self.balanced, self.key = balanced, key
        self.signed, self.lost = [], []
        self.stopped = threading.Event()

    def run(self):
        while not self.stopped.is_set():
            epoch = next(self.balanced.epochs)
            for message in (Block(self.key, epoch * 8, bytes(32)), Vote(self.key, epoch - 1, epoch, bytes(32))):
                status, said = self.balanced.sign(message)
                if status == 200:
                    self.signed.append(message)
                else:
                    self.lost.append((status, said))


class Clients(Running):
    """A client for each key."""

    def __init__(self, balanced):
        super().__init__(Client(balanced, key) for key in balanced.keys)

    @property
    def lost(self):
        return [answer for client in self.all for answer in list(client.lost)]

    def otherwise(self):
        return f"lost so far {self.lost[-3:]}"


class OfHaproxy(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.pair = cls.enterClassContext(Pair())
        cls.balanced = cls.enterClassContext(Balanced(cls.pair))

    def test_a_signer_that_is_killed_takes_no_more_with_it_than_what_it_had_not_read(self):
        with Clients(self.balanced) as clients:
            for killed in self.balanced.daemons.all:
                clients.until_more(SIGNATURES_BETWEEN)
                killed.kill()
                clients.until_more(SIGNATURES_BETWEEN)
                killed.start()
                self.balanced.until_well(2)
        lost = clients.lost
        print(f"\n  {len(lost)} requests lost to two kills")
        # The kernel resets a connection with bytes that nobody has read, and HAProxy tries nothing again after a reset.
        self.assertEqual({status for status, _ in lost} - {500}, set(), str(lost))
        self.assertLessEqual(len(lost), len(self.balanced.daemons.all) * len(clients.all))
        self.assert_nothing_slashable(clients)

    def test_a_new_primary_is_found_behind_it(self):
        with Clients(self.balanced) as clients:
            clients.until_more(SIGNATURES_BETWEEN)
            self.pair.fail_over()
            self.pair.attach()
            clients.until_more(SIGNATURES_BETWEEN)
            self.balanced.until_well(2)
            lost = len(clients.lost)
            clients.until_more(SIGNATURES_BETWEEN)
        print(f"\n  {lost} requests lost to the promotion")
        self.assertEqual(clients.lost[lost:], [])
        self.assert_nothing_slashable(clients)

    def test_a_key_that_one_signer_lacks_is_signed_with_by_the_other(self):
        lacking, _ = self.balanced.daemons.all
        file = os.path.join(lacking.directory, "keys", "0.yaml")
        lacking.kill()
        os.rename(file, file + ".away")
        lacking.start()
        (key, ) = set(self.balanced.keys) - set(lacking.public_keys())
        self.balanced.until_well(2)
        self.assertEqual([self.balanced.sign_by(key, RANDAO_REVEAL)[0] for _ in range(4)], [200] * 4)
        lacking.kill()
        os.rename(file + ".away", file)
        lacking.start()
        self.balanced.until_well(2)

    def test_while_the_database_is_away_what_cannot_be_slashed_is_signed_and_statuses_are_those_of_a_signer(self):
        (key, *_) = self.balanced.keys
        self.addCleanup(self.balanced.until_well, 2)
        self.addCleanup(self.pair.primary.start)
        self.pair.primary.kill()
        self.balanced.until_well(0)
        self.assertEqual(self.balanced.sign(Vote(key, 2_000_000, 2_000_001, bytes(32)))[0], 500)
        self.assertEqual(self.balanced.sign_by(key, RANDAO_REVEAL)[0], 200)
        for daemon in self.balanced.daemons.all:
            self.addCleanup(daemon.start)
            daemon.kill()
        # Until the balancer knows that both are dead it may close a client's connection instead.
        until(lambda: self.balanced.sign_by(key, RANDAO_REVEAL)[0] == 500, "500 without a signer")

    def assert_nothing_slashable(self, clients):
        found = check(clients.signed)
        print(f"\n  {found}")
        self.assertEqual(found.conflicts, 0, str(found))


def free_port():
    """A TCP port of loopback that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
