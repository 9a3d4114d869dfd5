"""Validator clients that ask real daemons for whatever comes to their minds, contradictions too."""

import itertools
import random
import threading
import time

from checker import Block, Vote
from clusters import until

ASKS_AN_EPOCH = 40


class Client(threading.Thread):
    """A validator client that asks a random daemon each time, and does not care what it has asked before."""

    def __init__(self, number, daemons, keys, clock):
        super().__init__(daemon=True)
        self.random, self.daemons, self.keys, self.clock = random.Random(number), daemons, keys, clock
        # (when asked, daemon, message)
        self.signed = []
        self.statuses = {}
        self.stopped = threading.Event()

    def run(self):
        while not self.stopped.is_set():
            message = self.message()
            daemon = self.random.choice(self.daemons)
            asked = time.monotonic()
            status = daemon.sign(message)
            self.statuses[status] = self.statuses.get(status, 0) + 1
            if status == 200:
                self.signed.append((asked, daemon, message))
            elif status is None:
                # It is being started again.
                time.sleep(0.01)

    def message(self):
        present = 1000 + next(self.clock) // ASKS_AN_EPOCH
        key, root = self.random.choice(self.keys), bytes([self.random.randrange(3)]) * 32
        if self.random.random() < 0.25:
            return Block(key, present * 8 + self.random.randrange(4), root)
        target = present + self.random.randrange(-1, 2)
        return Vote(key, target - self.random.randrange(4), target, root)


class Running:
    """Threads that ask until they are `stopped`, while a `with` lasts; each keeps what it has `signed`."""

    def __init__(self, threads):
        self.all = list(threads)

    def __enter__(self):
        for client in self.all:
            client.start()
        return self

    def __exit__(self, *_):
        for client in self.all:
            client.stopped.set()
        for client in self.all:
            client.join()

    @property
    def signed(self):
        return [signed for client in self.all for signed in list(client.signed)]

    def until_more(self, number):
        before = len(self.signed)
        until(lambda: len(self.signed) >= before + number, f"{number} more signatures: {self.otherwise()}")

    def otherwise(self):
        """What came of the rest, for a message."""
        raise NotImplementedError


class Clients(Running):
    """Clients of the same daemons."""

    def __init__(self, *daemons_of_each, keys):
        clock = itertools.count()
        super().__init__(Client(number, daemons, keys, clock) for number, daemons in enumerate(daemons_of_each))

    def otherwise(self):
        return self.statuses()

    def statuses(self):
        total = {}
        for client in self.all:
            for status, count in list(client.statuses.items()):
                total[status] = total.get(status, 0) + count
        return total
