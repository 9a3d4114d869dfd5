"""Controls: fights without what protects must be found slashable, or the checker and the other fights show nothing."""

import unittest

from checker import Block, Vote, check
from clusters import Pair, until
from hosts import Fight, both, only

KEY = bytes(48)


class Controls(unittest.TestCase):
    def test_the_checker_finds_what_is_slashable_and_nothing_else(self):
        one, two = b"\1" * 32, b"\2" * 32
        self.assertEqual(check([Vote(KEY, 1, 2, one), Vote(KEY, 1, 2, two)]).double_votes, 1)
        self.assertEqual(check([Vote(KEY, 0, 2, one), Vote(KEY, 1, 2, one)]).double_votes, 1)
        self.assertEqual(check([Vote(KEY, 1, 4, one), Vote(KEY, 2, 3, one)]).surrounds, 1)
        self.assertEqual(check([Vote(KEY, 2, 3, one), Vote(KEY, 1, 4, one)]).surrounds, 1)
        self.assertEqual(check([Block(KEY, 1, one), Block(KEY, 1, two)]).double_blocks, 1)
        messages = [
            Vote(KEY, 1, 2, one), Vote(KEY, 1, 2, one), Vote(KEY, 1, 3, one), Vote(KEY, 3, 4, two),
            Vote(KEY, 2, 5, one),
            Block(KEY, 1, one), Block(KEY, 1, one), Block(KEY, 2, two), Vote(bytes([1]) * 48, 1, 2, two),
        ]
        # The last vote of the key surrounds the one before it.
        self.assertEqual(check(messages).conflicts, 1)
        self.assertEqual(check(messages[:4] + messages[5:]).conflicts, 0)

    def test_without_replication_a_promotion_loses_grants_and_only_the_fence_notices(self):
        with Pair(synchronous=False) as pair:
            with Fight(*[both(pair)] * 4, replicated=False, fenced=(2, 3)) as fight:
                until(lambda: fight.granted > 500, "grants")
                pair.standby.cut_off()
                known = [len(host.grants) for host in fight.hosts]
                until(lambda: all(len(host.grants) > before + 300 for host, before in zip(fight.hosts, known)),
                      "grants of each host that will be lost")
                pair.primary.kill()
                pair.standby.promote()
                pair.swap()
                new = pair.primary.name
                late = lambda host: [grant for grant in host.grants if grant[1] == new]
                until(lambda: all(host.rewound for host in fight.hosts[2:]), "the fence stops its hosts")
                until(lambda: all(len(late(host)) > 300 for host in fight.hosts[:2]), "grants of the new primary")
            found = check(fight.messages())
        print(f"\n  asynchronous, promotion: {found}")
        self.assertGreater(found.conflicts, 0)
        self.assertEqual([late(host) for host in fight.hosts[2:]], [[], []])
        self.assertEqual([host.rewound for host in fight.hosts[:2]], [None, None])

    def test_without_replication_a_split_brain_signs_on_both_sides(self):
        with Pair(synchronous=False) as pair:
            old, new = pair.primary, pair.standby
            with Fight(only(old), only(new), replicated=False) as fight:
                until(lambda: len(fight.hosts[0].grants) > 500, "grants")
                new.cut_off()
                new.promote()
                until(lambda: len(fight.hosts[1].grants) > 1000, "grants of the new side")
            found = check(fight.messages())
        print(f"\n  asynchronous, split brain: {found}")
        self.assertGreater(found.conflicts, 0)
