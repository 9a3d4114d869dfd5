"""Three hosts contradict each other on the same keys, while hosts and primaries are killed, standbys take over and an
old primary lives on: nothing that was ever granted would be slashed.
"""

import random
import time
import unittest

from checker import check
from clusters import Pair, Server, until
from hosts import Fight, both, only

KILLED_HOSTS = 24
KILLED_PRIMARIES = 3
GRANTS_BETWEEN = 200


class Fights(unittest.TestCase):
    def test_kills_of_hosts_and_of_primaries_with_promotion_leave_nothing_slashable(self):
        chance = random.Random(1)
        with Pair() as pair:
            returns = []
            with Fight(*[both(pair)] * 3) as fight:
                for _ in range(KILLED_PRIMARIES):
                    for _ in range(KILLED_HOSTS // KILLED_PRIMARIES):
                        self.more_grants(fight, GRANTS_BETWEEN)
                        chance.choice(fight.hosts).killed.set()
                    self.more_grants(fight, GRANTS_BETWEEN)
                    pair.fail_over()
                    pair.attach()
                    attached = time.monotonic()
                    self.more_grants(fight, 1)
                    returns.append(time.monotonic() - attached)
                self.more_grants(fight, 2000)
            found = check(fight.messages())
        print(f"\n  {found}; {sum(host.refused for host in fight.hosts)} refused, "
              f"{sum(host.unknown for host in fight.hosts)} connections lost; grants came back "
              f"{', '.join(f'{seconds:.2f}' for seconds in returns)} s after the new primary had its standby")
        self.assertEqual(found.conflicts, 0, str(found))
        self.assertGreater(found.pairs, 10_000)

    def test_an_old_primary_that_lives_on_grants_nothing_more(self):
        with Pair() as pair:
            old, new, third = pair.primary, pair.standby, Server(pair, "db3")
            self.addCleanup(third.kill)
            with Fight(only(old), only(new), both(pair)) as fight:
                self.more_grants(fight, 2000)
                new.cut_off()
                new.promote()
                promoted = time.monotonic()
                # The new one has no standby of its own: it grants nothing either.
                lost = fight.hosts[0].unknown
                until(lambda: fight.hosts[0].unknown > lost + 1, "the old side has tried")
                self.assertEqual(fight.hosts[1].grants, [])
                # Then it has.
                third.copy_of(new)
                third.start()
                until(lambda: len(fight.hosts[1].grants) > 2000, "the new side grants")
            third.kill()
            found = check(fight.messages())
            late = [grant for host in fight.hosts for grant in host.grants
                    if grant[0] > promoted and grant[1] == old.name]
            sides = {grant[1] for host in fight.hosts for grant in host.grants}
        print(f"\n  {found}")
        self.assertEqual(sides, {old.name, new.name})
        self.assertEqual(late, [])
        self.assertEqual(found.conflicts, 0, str(found))

    def more_grants(self, fight, number):
        before = fight.granted
        until(lambda: fight.granted >= before + number, f"{number} more grants")
