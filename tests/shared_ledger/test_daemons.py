"""Real daemons, three with the same keys: clients ask all of them at random for contradictions, while daemons and primaries are
killed and an old primary lives on. Every signature that was ever given is compared with every other one.
"""

import json
import os
import random
import signal
import time
import unittest

from checker import Block, Vote, check
from clients import Clients
from clusters import Pair, Server, until
from daemons import RANDAO_REVEAL, SIGNING_SECONDS, Daemons, keystore

KEY_COUNT = 12
KILLED_PRIMARIES = 2
KILLED_DAEMONS = 6
SIGNATURES_BETWEEN = 40


class OfDaemons(unittest.TestCase):
    def test_kills_of_daemons_and_of_primaries_with_promotion_leave_nothing_slashable(self):
        chance = random.Random(1)
        with Pair() as pair, Daemons([(pair.primary, pair.standby)] * 3, KEY_COUNT) as daemons:
            with Clients(*[daemons.all] * 6, keys=daemons.keys) as clients:
                for _ in range(KILLED_PRIMARIES):
                    for _ in range(KILLED_DAEMONS // KILLED_PRIMARIES):
                        clients.until_more(SIGNATURES_BETWEEN)
                        killed = chance.choice(daemons.all)
                        killed.kill()
                        killed.start()
                    clients.until_more(SIGNATURES_BETWEEN)
                    pair.fail_over()
                    pair.attach()
                clients.until_more(10 * SIGNATURES_BETWEEN)
            found = check([message for _, _, message in clients.signed])
            print(f"\n  {found}; answers by status: {clients.statuses()}")
            self.assertEqual(found.conflicts, 0, str(found))
            self.assertGreater(clients.statuses().get(412, 0), 0)
            self.assert_no_daemon_is_red(daemons)

    def test_an_old_primary_that_lives_on_signs_nothing_more(self):
        with Pair() as pair:
            old, new, third = pair.primary, pair.standby, Server(pair, "db3")
            self.addCleanup(third.kill)
            with Daemons([(old, ), (new, old)], KEY_COUNT) as daemons:
                of_old, of_new = daemons.all
                with Clients([of_old], [of_old], [of_new], [of_new], keys=daemons.keys) as clients:
                    clients.until_more(4 * SIGNATURES_BETWEEN)
                    new.cut_off()
                    new.promote()
                    promoted = time.monotonic()
                    # Both take writes; a daemon asks the first of its address that has its standby.
                    for daemon in daemons.all:
                        daemon.kill()
                        daemon.start()
                    third.copy_of(new)
                    third.start()
                    signed_by = lambda daemon: [it for it in clients.signed if it[1] is daemon and it[0] > promoted]
                    until(lambda: len(signed_by(of_new)) > 100, f"the new side signs; {of_new.said()[-1500:]}")
                found = check([message for _, _, message in clients.signed])
                print(f"\n  {found}; answers by status: {clients.statuses()}")
                self.assertEqual(signed_by(of_old), [])
                self.assertEqual(found.conflicts, 0, str(found))
            third.kill()

    def test_while_the_database_is_away_what_cannot_be_slashed_is_signed_and_the_process_stays(self):
        with Pair() as pair, Daemons([(pair.primary, pair.standby)], 1) as daemons:
            (daemon, ), (key, ) = daemons.all, daemons.keys
            daemon.until_it_signs(key, 10)
            process = daemon.process.pid
            pair.primary.kill()
            vote = Vote(key, 2_000_000, 2_000_001, b"\1" * 32)
            self.assertEqual(daemon.sign(vote), 500)
            revealed, _ = daemon.ask("POST", f"/api/v1/eth2/sign/0x{key.hex()}", json.dumps(RANDAO_REVEAL))
            self.assertEqual(revealed, 200)
            until(lambda: daemon.ask("GET", "/healthcheck")[0] == 503, "health is red")
            checks = json.loads(daemon.ask("GET", "/healthcheck")[1])["checks"]
            self.assertEqual([check["id"] for check in checks if check["status"] == "DOWN"], ["slashing-protection"])
            pair.standby.promote()
            pair.swap()
            pair.attach()
            # The same message, in case it was recorded, and what lies above.
            until(lambda: daemon.sign(vote) == 200, f"it signs again; it said {daemon.said()[-1500:]}")
            until(lambda: daemon.ask("GET", "/healthcheck")[0] == 200, "health is green")
            self.assertEqual(daemon.process.pid, process)
            self.assertIsNone(daemon.process.poll())

    def test_a_database_that_says_nothing_is_answered_for_in_time_and_nothing_new_is_judged(self):
        with Pair() as pair, Daemons([(pair.primary, pair.standby)], 2) as daemons:
            (daemon, ), (key, other) = daemons.all, daemons.keys
            daemon.until_it_signs(key, 10)
            vote = Vote(key, 2_000_000, 2_000_001, b"\1" * 32)
            with pair.primary.frozen():
                asked = time.monotonic()
                self.assertEqual(daemon.sign(vote), 500)
                # It is some milliseconds more than that; three times as much shows that no other limit was met.
                self.assertLess(time.monotonic() - asked, 3 * SIGNING_SECONDS)
                self.assertEqual(daemon.sign(Vote(other, 2_000_000, 2_000_001, b"\1" * 32)), 500)
            until(lambda: daemon.sign(vote) == 200, f"it signs again; it said {daemon.said()[-1500:]}")
            self.assertEqual(daemon.sign(Vote(other, 2_000_000, 2_000_001, b"\2" * 32)), 200)

    def test_while_the_database_is_away_imports_and_deletions_say_what_was_done_and_what_to_do(self):
        brought = {"keystores": [keystore(7, "word")], "passwords": ["word"]}
        with Pair() as pair, Daemons([(pair.primary, )] * 2, 1) as daemons:
            one, two = daemons.all
            for daemon in daemons.all:
                daemon.until_it_signs(daemons.keys[0], 10)
                self.assertEqual([it["status"] for it in daemon.keymanager("POST", brought)], ["imported"])
            (key, ) = set(one.public_keys()) - set(daemons.keys)
            with pair.primary.frozen():
                self.assertEqual(one.sign(Vote(key, 1, 2, bytes(32))), 500)
                until(lambda: one.ask("GET", "/healthcheck")[0] == 503, "health is red")
                (imported, ) = one.keymanager("POST", {"keystores": [keystore(8, "word")], "passwords": ["word"]})
                (deleted, ) = one.keymanager("DELETE", {"pubkeys": [f"0x{key.hex()}"]})
            self.assertEqual((imported["status"], deleted["status"]), ("error", "error"))
            self.assertIn("import it again when the signer's health is green", imported["message"])
            self.assertIn("delete it on the other hosts", deleted["message"])
            for daemon in daemons.all:
                until(lambda: daemon.ask("GET", "/healthcheck")[0] == 200, "health is green")
            # So it is: here it does not sign any more, there it does until it is deleted as well.
            self.assertEqual(one.sign(Vote(key, 5, 6, bytes(32))), 404)
            self.assertEqual(two.sign(Vote(key, 5, 6, bytes(32))), 200)
            self.assertEqual([it["status"] for it in two.keymanager("DELETE", {"pubkeys": [f"0x{key.hex()}"]})], ["deleted"])
            again = {"keystores": [keystore(8, "word")], "passwords": ["word"]}
            self.assertEqual([it["status"] for it in one.keymanager("POST", again)], ["imported"])

    def test_commits_that_wait_for_a_standby_are_given_up_and_take_no_more_connections(self):
        with Pair() as pair, Daemons([(pair.primary, )], 2) as daemons:
            (daemon, ), (key, other) = daemons.all, daemons.keys
            daemon.until_it_signs(key, 10)
            receiver = int(pair.standby.ask("SELECT pid FROM pg_stat_wal_receiver")[0][0])
            os.kill(receiver, signal.SIGSTOP)
            try:
                vote = Vote(key, 2_000_000, 2_000_001, b"\1" * 32)
                self.assertEqual(daemon.sign(vote), 500)
                # What came later was not judged, so nothing is on record of it: another message at that height passes.
                self.assertEqual(daemon.sign(Vote(other, 2_000_000, 2_000_001, b"\1" * 32)), 500)
                until(lambda: "synchronous standby that does not answer" in daemon.ask("GET", "/healthcheck")[1].decode(),
                      f"health says why: {daemon.ask('GET', '/healthcheck')[1]}")
                ((count, ), ) = pair.primary.ask("SELECT count(*) FROM pg_stat_activity WHERE usename = 'bls_signer'")
                self.assertLess(int(count), 10)
            finally:
                os.kill(receiver, signal.SIGCONT)
            until(lambda: daemon.sign(vote) == 200, f"it signs again; it said {daemon.said()[-1500:]}")
            self.assertEqual(daemon.sign(Vote(other, 2_000_000, 2_000_001, b"\2" * 32)), 200)

    def test_metrics_count_batches_refusals_connections_and_the_timeline_over_a_promotion(self):
        with Pair() as pair, Daemons([(pair.primary, pair.standby)] * 2, 1) as daemons:
            (one, two), (key, ) = daemons.all, daemons.keys
            one.until_it_signs(key, 10)
            two.until_it_signs(key, 1000)
            self.assertEqual(two.sign(Vote(key, 5_000, 5_001, b"\1" * 32)), 200)
            before = one.metrics()
            self.assertGreaterEqual(before["bls_signer_shared_ledger_batch_seconds_count"], 1)
            self.assertEqual(before["bls_signer_shared_ledger_batch_keys_sum"],
                             before["bls_signer_shared_ledger_batch_keys_count"])
            self.assertEqual(before["bls_signer_shared_ledger_connections_total"], 4)
            self.assertEqual(before["bls_signer_shared_ledger_timeline"], 1)
            self.assertEqual(one.sign(Vote(key, 5_000, 5_001, b"\2" * 32)), 412)
            after = one.metrics()
            self.assertEqual(after["bls_signer_shared_ledger_refused_total"],
                             before["bls_signer_shared_ledger_refused_total"] + 1)
            pair.fail_over()
            pair.attach()
            one.until_it_signs(key, 10_000)
            until(lambda: one.metrics()["bls_signer_shared_ledger_timeline"] == 2, "the new timeline")
            self.assertGreater(one.metrics()["bls_signer_shared_ledger_connections_total"], 4)

    def test_a_server_that_takes_connections_and_says_nothing_keeps_nobody_from_the_next(self):
        with Pair() as pair, Daemons([(pair.primary, pair.standby)], 1) as daemons:
            (daemon, ), (key, ) = daemons.all, daemons.keys
            daemon.until_it_signs(key, 10)
            with pair.primary.frozen():
                pair.standby.cut_off()
                pair.standby.promote()
                third = Server(pair, "db3")
                self.addCleanup(third.kill)
                third.copy_of(pair.standby)
                third.start()
                daemon.until_it_signs(key, 1000)
            third.kill()

    def test_who_has_found_the_new_primary_asks_nothing_more_of_an_old_one_that_lives_on(self):
        with Pair() as pair, Daemons([(pair.primary, pair.standby)], 1) as daemons:
            (daemon, ), (key, ) = daemons.all, daemons.keys
            block = lambda slot: daemon.sign(Block(key, slot, bytes(32)))
            # All connections are to the old one, and idle from now on.
            until(lambda: block(100) == 200, f"it signs; it said {daemon.said()[-1500:]}")
            daemon.until_it_signs(key, 10)
            pair.standby.cut_off()
            pair.standby.promote()
            third = Server(pair, "db3")
            self.addCleanup(third.kill)
            third.copy_of(pair.standby)
            third.start()
            daemon.until_it_signs(key, 1000)
            self.assertEqual([block(slot) for slot in (200, 201)], [200, 200])
            self.assertEqual([daemon.sign(Vote(key, epoch, epoch + 1, bytes(32))) for epoch in range(2000, 2004)], [200] * 4)
            third.kill()

    def test_a_control_without_replication_is_found_slashable(self):
        with Pair(synchronous=False) as pair:
            old, new = pair.primary, pair.standby
            options = ("--shared-ledger-durability", "engine")
            with Daemons([(old, new), (new, old)], KEY_COUNT, *options) as daemons:
                of_new = daemons.all[1]
                with Clients(*[[daemon] for daemon in daemons.all * 3], keys=daemons.keys) as clients:
                    clients.until_more(SIGNATURES_BETWEEN)
                    new.cut_off()
                    new.promote()
                    promoted = time.monotonic()
                    of_new.kill()
                    of_new.start()
                    until(lambda: sum(it[1] is of_new and it[0] > promoted for it in clients.signed) > 200,
                          f"the new side signs; {of_new.said()[-1500:]}")
                found = check([message for _, _, message in clients.signed])
        print(f"\n  asynchronous, split brain: {found}; answers by status: {clients.statuses()}")
        self.assertGreater(found.conflicts, 0)

    def assert_no_daemon_is_red(self, daemons):
        for daemon in daemons.all:
            until(lambda: daemon.ask("GET", "/healthcheck")[0] == 200, f"{daemon.directory} is well")
            self.assertNotIn("LOST", daemon.said())
