"""TLS to the database: who is taken for it, and that a password is bound to the connection that it goes over."""

import os
import shutil
import socket
import subprocess
import tempfile
import unittest

from certificates import Authority
from checker import Vote
from clusters import DATABASE, Pair, until
from daemons import PROGRAM, Daemons

PASSWORD = "correct horse"


class OfTls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.files = tempfile.TemporaryDirectory(prefix="bls-signer-tls-")
        cls.addClassCleanup(cls.files.cleanup)
        cls.pair = Pair(synchronous=False, has_standby=False)
        cls.addClassCleanup(cls.pair.close)
        authority = Authority(cls.files.name)
        cls.authority, cls.other = authority.path, Authority(cls.files.name, "other").path
        cls.password = cls._file("password", PASSWORD + "\n")
        server = cls.pair.primary
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            cls.port = free.getsockname()[1]
        certificate, key = cls._given_to(server, authority.certificate("db.example", digest="sha384"))
        server.ask(f"ALTER ROLE bls_signer PASSWORD '{PASSWORD}'")
        for name, value in {"listen_addresses": "127.0.0.1", "port": cls.port, "ssl": "on", "ssl_cert_file": certificate,
                            "ssl_key_file": key}.items():
            server.ask(f"ALTER SYSTEM SET {name} = '{value}'")
        with open(os.path.join(server.data, "pg_hba.conf"), "w") as file:
            file.write("local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n")
        # Its address is another from here on.
        server.kill()
        server.port = cls.port
        server.start()

    @classmethod
    def _file(cls, name, text):
        path = os.path.join(cls.files.name, name)
        with open(path, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(text)
        return path

    @classmethod
    def _given_to(cls, server, paths):
        """Where the server finds them, and may read them."""
        found = [shutil.move(path, server.data) for path in paths]
        for path in found:
            cls.pair.give(path)
        return found

    def address(self, host="db.example", options=""):
        return f"postgres://bls_signer@/{DATABASE}?host={host}&hostaddr=127.0.0.1&port={self.port}{options}"

    def check(self, address, authority=None, password=None):
        """What `ledger check` says, as the daemon would connect."""
        config = self._file("config.toml", f"""shared_ledger = "{address}"
shared_ledger_durability = "engine"
shared_ledger_password_file = "{password or self.password}"
network = "minimal"
state_dir = "{self.files.name}"
""" + (f'shared_ledger_ca = "{authority}"\n' if authority else ""))
        done = subprocess.run([PROGRAM, "ledger", "check", "--config", config], capture_output=True, text=True, env={})
        self.assertNotIn(PASSWORD, done.stdout + done.stderr)
        return done.returncode, done.stdout + done.stderr

    def test_a_server_that_the_authority_vouches_for_by_that_name_is_taken_and_the_password_is_bound_to_it(self):
        status, said = self.check(self.address(options="&channel_binding=require"), self.authority)
        self.assertEqual(status, 0, said)
        self.assertIn("a commit", said)

    def test_another_authority_another_name_no_authority_and_a_wrong_password_are_refused_in_words(self):
        wrong = self._file("wrong", "WRONG-ONE\n")
        for address, authority, password, words in [
            (self.address(), self.other, None, "UnknownIssuer"),
            (self.address("other.example"), self.authority, None, "NotValidForName"),
            (self.address(), None, None, "shared_ledger_ca"),
            (self.address(), self.authority, wrong, "password authentication failed"),
        ]:
            status, said = self.check(address, authority, password)
            self.assertNotEqual(status, 0, said)
            self.assertIn(words.lower(), said.lower().replace(" ", "") if words[0].isupper() else said.lower())
            self.assertNotIn("WRONG-ONE", said)

    def test_a_daemon_signs_over_it(self):
        options = ("--shared-ledger-durability", "engine", "--shared-ledger-ca", self.authority,
                   "--shared-ledger-password-file", self.password)
        with Daemons([self.address(options="&channel_binding=require")], 1, *options) as daemons:
            daemons.all[0].until_it_signs(daemons.keys[0], 10)
            vote = Vote(daemons.keys[0], 5_000, 5_001, bytes(32))
            self.assertEqual(daemons.all[0].sign(vote), 200)
            ((encrypted, ), ) = self.pair.primary.ask(
                "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE ssl AND usename = 'bls_signer'")
            self.assertGreaterEqual(int(encrypted), 4)

    def test_a_new_password_and_new_authorities_are_taken_without_a_restart(self):
        password, authority = self._file("rotated-password", PASSWORD), self._copy("authority.pem", "rotated.pem")
        options = ("--shared-ledger-durability", "engine", "--shared-ledger-ca", authority,
                   "--shared-ledger-password-file", password)
        with Daemons([self.address()], 1, *options) as daemons:
            (daemon, ), (key, ) = daemons.all, daemons.keys
            daemon.until_it_signs(key, 10_000)
            self.pair.primary.ask("ALTER ROLE bls_signer PASSWORD 'another'")
            self.addCleanup(self.pair.primary.ask, f"ALTER ROLE bls_signer PASSWORD '{PASSWORD}'")
            self._end_connections()
            self._until_it_is_not_let_in(daemon)
            self._file("rotated-password", "another")
            daemon.until_it_signs(key, 20_000)
            self._copy("other.pem", "rotated.pem")
            self._end_connections()
            self._until_it_is_not_let_in(daemon)
            self._copy("authority.pem", "rotated.pem")
            daemon.until_it_signs(key, 30_000)

    def _copy(self, name, to):
        with open(os.path.join(self.files.name, name)) as file:
            return self._file(to, file.read())

    def _end_connections(self):
        self.pair.primary.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'bls_signer'")

    def _until_it_is_not_let_in(self, daemon):
        until(lambda: "cannot be reached" in daemon.ask("GET", "/healthcheck")[1].decode(),
              f"health is red; it said {daemon.said()[-1500:]}")
