"""A primary and a standby for tests in other languages: orders come in, one a line, and a line goes out when each is carried
out. The first line that goes out has the directories of both servers' sockets. The end of the orders is the end of the servers.
"""

import sys

from clusters import DATABASE, Pair, Server


class Ordered:
    def __init__(self, pair):
        self.pair, self.third = pair, None

    def keys(self):
        """How many keys have a record."""
        return self.pair.primary.ask("SELECT count(*) FROM bls_signer.keys", DATABASE)[0][0]

    def fail_over(self):
        """The primary dies, its standby is promoted, and comes by a standby of its own."""
        self.pair.fail_over()
        self.pair.attach()

    def split(self):
        """The standby is promoted beside a primary that lives on, and comes by a standby of its own."""
        new = self.pair.standby
        new.cut_off()
        new.promote()
        self.third = Server(self.pair, "db3")
        self.third.copy_of(new)
        self.third.start()


def main(chain):
    with Pair(chain=bytes.fromhex(chain)) as pair:
        ordered = Ordered(pair)
        orders = {"keys": ordered.keys, "fail-over": ordered.fail_over, "split": ordered.split}
        print(pair.primary.sockets, pair.standby.sockets, flush=True)
        try:
            for line in sys.stdin:
                print(orders[line.strip()]() or "done", flush=True)
        finally:
            if ordered.third:
                ordered.third.kill()


if __name__ == "__main__":
    main(sys.argv[1])
