"""Hosts: each judges by the shipped statements on the shared ledger alone, and has nothing of its own against mistakes.

A host believes a grant only as the daemon does: the connection has not warned, and the server still waits for a standby
when it is asked after the commit.
"""

import itertools
import os
import random
import threading
import time

from checker import Block, Vote
from clusters import CHAIN, DATABASE, SQL
from wire import Connection, ServerError, array, bytea

# A host gives up a connection that says nothing for so long. What was asked on it is then unknown.
ANSWER_SECONDS = 2
# That all hosts fight over.
KEY_COUNT = 48
KEYS_A_BATCH = 16
BATCHES_AN_EPOCH = 12
# One more statement of the daemon's, behind the one that judges: it runs after that one's commit.
AFTER_CHECK = "SELECT current_setting('synchronous_standby_names') <> ''"


def statement(name):
    with open(os.path.join(SQL, f"{name}.sql")) as file:
        return file.read()


ATTEST, BLOCK = statement("attest"), statement("block")


class Unknown(Exception):
    """Nobody knows whether the messages are on record: nothing may be signed."""


class Rewound(Exception):
    """The database lacks what this host was granted."""


def connect(server, timeout=ANSWER_SECONDS):
    return Connection(server.socket, "bls_signer", DATABASE, timeout)


def judge(connection, messages, replicated=True):
    """The messages that pass, of votes alone or blocks alone with each key once. Raises `Unknown`."""
    keys = array([message.key for message in messages])
    roots = array([message.root for message in messages])
    common = (bytea(CHAIN), "t" if replicated else "f", keys, roots)
    if isinstance(messages[0], Vote):
        sources, targets = [array([getattr(vote, name) for vote in messages]) for name in ("source", "target")]
        question = (ATTEST, (*common, sources, targets))
    else:
        question = (BLOCK, (*common, array([block.slot for block in messages])))
    passed, after = connection.pipelined(question, (AFTER_CHECK, ()))
    if replicated and (connection.notices or after != [("t",)]):
        raise Unknown(str(connection.notices or "no standby is waited for"))
    passed = {bytes.fromhex(key[2:]) for (key,) in passed}
    return [message for message in messages if message.key in passed]


class Host(threading.Thread):
    """A host that asks for contradicting messages about the same keys as all others, until it is stopped.

    `fenced`: at each connection it compares its own grants with what is there.
    """

    def __init__(self, number, servers, keys, clock, replicated=True, fenced=False):
        super().__init__(daemon=True)
        self.clock = clock
        self.random = random.Random(number)
        self.servers, self.keys, self.replicated, self.fenced = servers, keys, replicated, fenced
        # (when asked, which server, message)
        self.grants = []
        self.refused = self.unknown = 0
        self.rewound = None
        self.failure = None
        self.killed = threading.Event()
        self.stopped = threading.Event()

    def run(self):
        try:
            while not self.stopped.is_set():
                self._until_killed()
        except Rewound as loss:
            self.rewound = str(loss)
        except BaseException as failure:
            self.failure = failure
            raise

    def _until_killed(self):
        connection = None
        try:
            server, connection = self._connect()
            if connection is None:
                return
            self.killed.clear()
            while not self.stopped.is_set():
                messages = self._messages()
                if self.killed.is_set():
                    # A kill after the question left and before its answer came.
                    self._ask_and_die(connection, messages)
                    return
                asked = time.monotonic()
                passed = judge(connection, messages, self.replicated)
                self.grants += [(asked, server.name, message) for message in passed]
                self.refused += len(messages) - len(passed)
        except (OSError, ServerError, Unknown):
            self.unknown += 1
        finally:
            if connection:
                connection.close()

    def _connect(self):
        """To whichever server takes writes."""
        for server in self.servers():
            try:
                connection = connect(server)
            except (OSError, ServerError):
                continue
            try:
                if connection.query("SELECT pg_is_in_recovery()") == [("f",)]:
                    if self.fenced:
                        self._compare(connection)
                    return server, connection
            except (OSError, ServerError):
                pass
            except Rewound:
                connection.close()
                raise
            connection.close()
        time.sleep(0.02)
        return None, None

    def _compare(self, connection):
        rows = connection.query("SELECT public_key, block_slot, source_epoch, target_epoch FROM bls_signer.keys")
        there = {bytes.fromhex(key[2:]): [int(number or -1) for number in numbers] for key, *numbers in rows}
        behind = set()
        for _, _, message in self.grants:
            slot, source, target = there.get(message.key, (-1, -1, -1))
            ahead = message.slot > slot if isinstance(message, Block) else (
                message.source > source or message.target > target)
            if ahead:
                behind.add(message.key)
        if behind:
            raise Rewound(f"behind the grants of {len(behind)} keys")

    def _ask_and_die(self, connection, messages):
        try:
            keys, roots = array([it.key for it in messages]), array([it.root for it in messages])
            slots = array([1 for _ in messages])
            connection.send(BLOCK, bytea(CHAIN), "t" if self.replicated else "f", keys, roots, slots)
        except OSError:
            pass

    def _messages(self):
        """For some keys, near the present."""
        present = 1000 + next(self.clock) // BATCHES_AN_EPOCH
        keys = self.random.sample(self.keys, KEYS_A_BATCH)
        # Few roots, so that some messages are the same as another host's.
        roots = {key: bytes([self.random.randrange(3)]) * 32 for key in keys}
        if self.random.random() < 0.25:
            return [Block(key, present + self.random.randrange(3), roots[key]) for key in keys]
        targets = {key: present + self.random.randrange(-2, 3) for key in keys}
        return [Vote(key, targets[key] - self.random.randrange(4), targets[key], roots[key]) for key in keys]


def both(pair):
    """Servers of a host: whichever of the pair takes writes."""
    return lambda: (pair.primary, pair.standby)


def only(server):
    """Servers of a host that keeps to one, whatever happens."""
    return lambda: (server, )


class Fight:
    """Hosts, one for each of `servers`, that fight over the same keys while a `with` lasts."""

    def __init__(self, *servers, replicated=True, fenced=()):
        keys = [bytes([number]) * 48 for number in range(KEY_COUNT)]
        # Goes on with what is asked and not with the time, so that hosts meet however long a promotion takes.
        clock = itertools.count()
        self.hosts = [Host(number, its_servers, keys, clock, replicated, number in fenced)
                      for number, its_servers in enumerate(servers)]

    def __enter__(self):
        for host in self.hosts:
            host.start()
        return self

    def __exit__(self, *_):
        for host in self.hosts:
            host.stopped.set()
        for host in self.hosts:
            host.join()

    @property
    def granted(self):
        return sum(len(host.grants) for host in self.hosts)

    def messages(self):
        """Every grant. After the fight."""
        for host in self.hosts:
            if host.failure:
                raise AssertionError("a host's thread failed") from host.failure
        return [message for host in self.hosts for _, _, message in host.grants]
