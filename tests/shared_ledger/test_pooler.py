"""PgBouncer in transaction mode between daemons and the database: each statement may meet another connection."""

import os
import shutil
import subprocess
import unittest

from checker import Block, Vote, check
from clusters import DATABASE, Pair, as_user, until
from daemons import Daemons
from test_daemons import Clients

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
KEY_COUNT = 6
# Fewer than the daemons have connections to it.
SERVER_CONNECTIONS = 3


class Pooler:
    """A pooler in front of a primary. Its socket is in its directory."""

    def __init__(self, pair):
        self.directory = os.path.join(pair.directory, "pooler")
        os.mkdir(self.directory)
        pair.give(self.directory)
        users, self.log = self._path("users"), self._path("log")
        with open(users, "w") as file:
            file.write('"bls_signer" ""\n')
        settings = self._path("pooler.ini")
        with open(settings, "w") as file:
            file.write(f"[databases]\n{DATABASE} = host={pair.primary.sockets} port=5432\n[pgbouncer]\nlisten_addr =\n"
                       f"unix_socket_dir = {self.directory}\nlisten_port = 5432\nauth_type = trust\nauth_file = {users}\n"
                       f"pool_mode = transaction\ndefault_pool_size = {SERVER_CONNECTIONS}\n")
        with open(self.log, "w") as log:
            self.process = subprocess.Popen([PROGRAM, settings], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                            cwd=self.directory, **as_user(pair.user))

    def _path(self, name):
        return os.path.join(self.directory, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


class OfAPooler(unittest.TestCase):
    def test_daemons_sign_over_a_few_connections_of_a_pooler_and_nothing_slashable(self):
        self.assertIsNotNone(PROGRAM, "install Debian's package pgbouncer")
        with Pair() as pair, Pooler(pair) as pooler:
            address = f"postgres://bls_signer@/{DATABASE}?pooler=transaction&host={pooler.directory}"
            with Daemons([address] * 2, KEY_COUNT) as daemons:
                for daemon in daemons.all:
                    daemon.until_it_signs(daemons.keys[0], 10)
                with Clients(*[daemons.all] * 6, keys=daemons.keys) as clients:
                    clients.until_more(400)
                found = check([message for _, _, message in clients.signed])
                print(f"\n  {found}; answers by status: {clients.statuses()}")
                self.assertEqual(found.conflicts, 0, str(found))
                self.assertIsNone(clients.statuses().get(500), [daemon.said()[-1500:] for daemon in daemons.all])
                one, two = daemons.all
                self.assertEqual(one.sign(Vote(daemons.keys[0], 5_000_000, 5_000_001, bytes(32))), 200)
                self.assertEqual(two.sign(Vote(daemons.keys[0], 5_000_000, 5_000_001, b"\1" * 32)), 412)
                self.assertEqual(two.sign(Block(daemons.keys[0], 50_000_000, bytes(32))), 200)
                ((count, ), ) = pair.primary.ask("SELECT count(*) FROM pg_stat_activity WHERE usename = 'bls_signer'")
                self.assertLessEqual(int(count), SERVER_CONNECTIONS)
                # Its own connections end, and are made again.
                pair.primary.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'bls_signer'")
                until(lambda: one.sign(Vote(daemons.keys[1], 5_000_000, 5_000_001, bytes(32))) == 200,
                      f"it signs again; it said {one.said()[-1500:]}")
