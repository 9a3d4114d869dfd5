"""Patroni on etcd, failing over by its own means, strict and not: by hand, since it takes some two minutes. Debian's
packages patroni and etcd-server.
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
from clusters import Pair, as_user, make_ledger, new_place, until
from hosts import Fight
from wire import Connection, ServerError

ETCD_PORT, REST_PORT, SERVER_PORT = 23790, 23800, 23900


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
        with Cluster(is_strict) as cluster:
            members = lambda: tuple(cluster.members)
            with Fight(members, members, members) as fight:
                until(lambda: fight.granted > 1000, "grants")
                leader = cluster.until_leader()
                (standby, ) = [member for member in cluster.members if member is not leader]

                # The standby dies: nothing is granted, whatever Patroni makes of it.
                standby.kill()
                names = "*" if is_strict else ""
                until(lambda: leader_says(leader, "SHOW synchronous_standby_names") == names, f"names are {names!r}")
                alone = fight.granted
                lost = [host.unknown for host in fight.hosts]
                until(lambda: all(host.unknown > before + 1 for host, before in zip(fight.hosts, lost)),
                      "all have tried")
                self.assertEqual(fight.granted, alone)
                standby.start()
                cluster.until_synchronous()
                until(lambda: fight.granted > alone + 500, "grants with the standby")

                # The leader dies: Patroni promotes, and the old leader comes back as the standby.
                leader.kill()
                killed = time.monotonic()
                until(lambda: standby.state().get("role") in ("master", "primary"), "the standby leads")
                led = time.monotonic()
                before = fight.granted
                leader.start()
                cluster.until_synchronous()
                until(lambda: fight.granted > before + 500, "grants of the new leader")
                print(f"\n  strict={is_strict}: led after {led - killed:.1f} s, "
                      f"granted after {time.monotonic() - killed:.1f} s")
            found = check(fight.messages())
        print(f"  {found}")
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
