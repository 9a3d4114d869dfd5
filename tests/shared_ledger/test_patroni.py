"""Two daemons on a database under Patroni and etcd, which fails over by its own means, strict and not: by hand, since it takes
three minutes. Debian's packages patroni and etcd-server.
"""

import json
import os
import shutil
import signal
import subprocess
import time
import unittest
import urllib.request

from checker import check
from clients import Clients
from clusters import DATABASE, Pair, as_user, make_ledger, new_place, until
from daemons import Daemons
from wire import Connection, ServerError

ETCD_PORT, REST_PORT, SERVER_PORT = 23790, 23800, 23900
KEY_COUNT = 8
SIGNATURES_BETWEEN = 100


class Member:
    """A PostgreSQL server under Patroni."""

    def __init__(self, cluster, number, is_strict):
        self.cluster, self.name, self.number = cluster, f"db{number}", number
        self.data = os.path.join(cluster.directory, self.name)
        self.sockets = os.path.join(cluster.directory, f"{self.name}-socket")
        self.socket = os.path.join(self.sockets, f".s.PGSQL.{SERVER_PORT + number}")
        self.process = None
        os.mkdir(self.sockets)
        cluster.give(self.sockets)
        address, rest = f"127.0.0.1:{SERVER_PORT + number}", f"127.0.0.1:{REST_PORT + number}"
        parameters = {"shared_buffers": "16MB", "unix_socket_directories": self.sockets, "synchronous_commit": "on"}
        self.configuration = os.path.join(cluster.directory, f"{self.name}.yml")
        with open(self.configuration, "w") as file:
            # JSON is YAML.
            json.dump({
                "scope": "ledger", "name": self.name,
                "restapi": {"listen": rest, "connect_address": rest},
                "etcd3": {"host": f"127.0.0.1:{ETCD_PORT}"},
                "bootstrap": {
                    "dcs": {"ttl": 20, "loop_wait": 1, "retry_timeout": 3, "synchronous_mode": True,
                            "synchronous_mode_strict": is_strict,
                            "postgresql": {"use_pg_rewind": True, "parameters": {"max_connections": 60}}},
                    "initdb": [{"encoding": "UTF8"}, {"locale": "C"}],
                },
                "postgresql": {
                    "listen": address, "connect_address": address, "data_dir": self.data, "use_unix_socket": True,
                    "bin_dir": cluster.programs, "parameters": parameters,
                    "basebackup": [{"checkpoint": "fast"}],
                    "pg_hba": ["local all all trust", "host all all 127.0.0.1/32 trust",
                               "host replication all 127.0.0.1/32 trust"],
                    "authentication": {"superuser": {"username": "postgres"}, "replication": {"username": "replicator"},
                                       "rewind": {"username": "postgres"}},
                },
            }, file)
        os.chmod(self.configuration, 0o644)

    def start(self):
        self.process = self.cluster.start(f"{self.name}-patroni.log", "/usr/bin/patroni", self.configuration)

    def as_owner(self, database="postgres"):
        return Connection(self.socket, "postgres", database, 60)

    def state(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{REST_PORT + self.number}/patroni", timeout=5) as answer:
                return json.load(answer)
        except OSError:
            return {}

    def kill(self):
        """The whole machine, as it were: Patroni and its server."""
        if self.process is None:
            return
        self.process.kill()
        self.process.wait()
        self.process = None
        try:
            with open(os.path.join(self.data, "postmaster.pid")) as file:
                os.kill(int(file.readline()), signal.SIGKILL)
        except (OSError, ValueError):
            pass


class Cluster:
    """etcd and two members."""

    give = Pair.give

    def __init__(self, is_strict):
        self.directory, self.user, self.programs = new_place()
        state = os.path.join(self.directory, "etcd")
        client, peer = f"http://127.0.0.1:{ETCD_PORT}", f"http://127.0.0.1:{ETCD_PORT + 1}"
        self.etcd = self.start("etcd.log", "/usr/bin/etcd", "--data-dir", state, "--listen-client-urls", client,
                               "--advertise-client-urls", client, "--listen-peer-urls", peer,
                               "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}")
        self.members = [Member(self, number, is_strict) for number in (1, 2)]

    @property
    def address(self):
        """For a daemon: both members."""
        hosts = "&".join(f"host={member.sockets}&port={SERVER_PORT + member.number}" for member in self.members)
        return f"postgres://bls_signer@/{DATABASE}?{hosts}"

    def __enter__(self):
        try:
            self.members[0].start()
            leader = self.until_leader()
            make_ledger(leader)
            self.members[1].start()
            self.until_synchronous()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for member in self.members:
            member.kill()
        self.etcd.kill()
        self.etcd.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def start(self, log, *command):
        environment = {"PATH": os.environ["PATH"], "HOME": self.directory, "LC_ALL": "C.UTF-8"}
        with open(os.path.join(self.directory, log), "a") as file:
            return subprocess.Popen(command, stdout=file, stderr=file, stdin=subprocess.DEVNULL, cwd=self.directory,
                                    env=environment, start_new_session=True, **as_user(self.user))

    def until_leader(self):
        return until(lambda: next((member for member in self.members if member.process and
                                   member.state().get("role") in ("master", "primary") and
                                   member.state().get("state") == "running"), None), "a leader")

    def until_synchronous(self):
        until(lambda: any(member.state().get("sync_standby") for member in self.members), "a synchronous standby")


class Patroni(unittest.TestCase):
    def test_strict(self):
        self.fails_over(is_strict=True)

    def test_not_strict(self):
        self.fails_over(is_strict=False)

    def fails_over(self, is_strict):
        with Cluster(is_strict) as cluster, Daemons([cluster.address] * 2, KEY_COUNT) as daemons:
            with Clients(*[daemons.all] * 4, keys=daemons.keys) as clients:
                clients.until_more(SIGNATURES_BETWEEN)
                leader = cluster.until_leader()
                (standby, ) = [member for member in cluster.members if member is not leader]

                # The standby dies: nothing is signed, whatever Patroni makes of it.
                standby.kill()
                alone = time.monotonic()
                names = "*" if is_strict else ""
                until(lambda: leader_says(leader, "SHOW synchronous_standby_names") == names, f"names are {names!r}")
                unable = clients.statuses().get(500, 0)
                until(lambda: clients.statuses().get(500, 0) > unable + 8, "all have tried")
                self.assertEqual([signed for signed in clients.signed if signed[0] > alone], [])
                standby.start()
                cluster.until_synchronous()
                clients.until_more(SIGNATURES_BETWEEN)

                # The leader dies: Patroni promotes, and the old leader comes back as the standby.
                leader.kill()
                killed = time.monotonic()
                until(lambda: standby.state().get("role") in ("master", "primary"), "the standby leads")
                led = time.monotonic()
                leader.start()
                cluster.until_synchronous()
                clients.until_more(SIGNATURES_BETWEEN)
                print(f"\n  strict={is_strict}: led after {led - killed:.1f} s, "
                      f"signed {SIGNATURES_BETWEEN} times after {time.monotonic() - killed:.1f} s")
            for daemon in daemons.all:
                until(lambda: daemon.ask("GET", "/healthcheck")[0] == 200, f"{daemon.directory} is well")
                self.assertNotIn("LOST", daemon.said())
            found = check([message for _, _, message in clients.signed])
        print(f"  {found}; answers by status: {clients.statuses()}")
        self.assertEqual(found.conflicts, 0, str(found))


def leader_says(member, statement):
    try:
        connection = member.as_owner()
    except (OSError, ServerError):
        return None
    try:
        return connection.query(statement)[0][0]
    finally:
        connection.close()
