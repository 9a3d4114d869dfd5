"""Holes of PostgreSQL's synchronous replication, one test each: what it reports as committed and is on one server alone
does not count as granted.
"""

import os
import signal
import threading
import unittest

from checker import Block, Vote
from clusters import Pair, until
from hosts import Unknown, connect, judge
from wire import ServerError

KEY = bytes([7]) * 48


class Holes(unittest.TestCase):
    """One pair for all; each test takes numbers above the others'."""

    @classmethod
    def setUpClass(cls):
        cls.pair = Pair()
        cls.epoch = 1

    @classmethod
    def tearDownClass(cls):
        cls.pair.close()

    def setUp(self):
        type(self).epoch += 10
        self.primary = self.pair.primary
        self.connection = connect(self.primary, timeout=60)
        self.addCleanup(self.connection.close)

    def vote(self, epoch=0, root=1):
        return Vote(KEY, self.epoch + epoch, self.epoch + epoch + 1, bytes([root]) * 32)

    def ask_while_the_standby_hangs(self, meanwhile):
        """A vote whose commit waits until something is done. Its answer or what came instead."""
        receiver = int(self.pair.standby.ask("SELECT pid FROM pg_stat_wal_receiver")[0][0])
        os.kill(receiver, signal.SIGSTOP)
        answer = []

        def ask():
            try:
                answer.append(judge(self.connection, [self.vote()]))
            except (Unknown, ServerError, OSError) as reason:
                answer.append(reason)

        asking = threading.Thread(target=ask)
        try:
            asking.start()
            (waiting,) = until(self.primary.processes_waiting_for_a_standby, "the commit waits for the standby")
            self.assertEqual(answer, [])
            meanwhile(waiting)
            asking.join()
        finally:
            os.kill(receiver, signal.SIGCONT)
        self.assertEqual(len(answer), 1)
        return answer[0]

    def assert_repeats_and_contradictions(self):
        """The message may be on record: it alone passes, once the standby answers again."""
        with_standby = connect(self.primary, timeout=60)
        self.addCleanup(with_standby.close)
        self.assertEqual(judge(with_standby, [self.vote(root=2)]), [])
        self.assertEqual(judge(with_standby, [self.vote()]), [self.vote()])

    def test_a_cancelled_wait_is_no_grant(self):
        answer = self.ask_while_the_standby_hangs(lambda pid: self.primary.ask(f"SELECT pg_cancel_backend({pid})"))
        self.assertIsInstance(answer, Unknown)
        self.assertIn("might not have been replicated", str(answer))
        self.assert_repeats_and_contradictions()

    def test_standby_names_that_are_emptied_meanwhile_are_no_grant(self):
        names = self.primary.ask("SHOW synchronous_standby_names")[0][0]
        try:
            answer = self.ask_while_the_standby_hangs(
                lambda _: self.primary.set("synchronous_standby_names", ""))
            self.assertIsInstance(answer, Unknown)
            # The commit was reported without a warning: the check after it alone has noticed.
            self.assertEqual(self.connection.notices, [])
            # From then on nothing passes at all.
            another = connect(self.primary, timeout=60)
            self.addCleanup(another.close)
            with self.assertRaises(Unknown):
                judge(another, [self.vote(epoch=5)])
            self.assertEqual(self.target(), self.epoch + 1)
        finally:
            self.primary.set("synchronous_standby_names", names)
        self.assert_repeats_and_contradictions()

    def test_a_terminated_backend_is_no_grant(self):
        answer = self.ask_while_the_standby_hangs(
            lambda pid: self.primary.ask(f"SELECT pg_terminate_backend({pid})"))
        self.assertIsInstance(answer, (Unknown, ServerError, OSError))
        self.assert_repeats_and_contradictions()

    def test_no_commit_without_the_settings_passes(self):
        for setting in ("synchronous_commit = 'local'", "synchronous_commit = 'off'"):
            with self.subTest(setting):
                self.connection.query(f"SET {setting}")
                self.assertEqual(judge(self.connection, [self.vote()]), [])
        self.connection.query("SET synchronous_commit = 'on'")
        self.assertEqual(judge(self.connection, [self.vote()]), [self.vote()])

    def test_a_repeat_waits_for_the_standby_as_the_first_did(self):
        self.assertEqual(judge(self.connection, [self.vote()]), [self.vote()])
        answer = self.ask_while_the_standby_hangs(lambda pid: self.primary.ask(f"SELECT pg_cancel_backend({pid})"))
        self.assertIsInstance(answer, Unknown)

    def test_a_deleted_key_another_chain_and_the_high_watermark_refuse(self):
        block = Block(KEY, self.epoch * 1000, b"\1" * 32)
        self.assertEqual(judge(self.connection, [block]), [block])
        self.connection.query(f"UPDATE bls_signer.head SET stop_slot = {block.slot}, stop_epoch = {self.epoch}")
        self.assertEqual(judge(self.connection, [block]), [])
        self.assertEqual(judge(self.connection, [self.vote()]), [])
        self.connection.query("UPDATE bls_signer.head SET stop_slot = NULL, stop_epoch = NULL")
        self.connection.query("UPDATE bls_signer.keys SET deleted = true")
        self.assertEqual(judge(self.connection, [block]), [])
        self.connection.query("UPDATE bls_signer.keys SET deleted = false")
        self.assertEqual(judge(self.connection, [block]), [block])

    def test_the_daemons_role_can_lower_remove_and_change_nothing(self):
        self.assertEqual(judge(self.connection, [self.vote()]), [self.vote()])
        for statement, code in [
            ("UPDATE bls_signer.keys SET source_epoch = source_epoch - 1", "23514"),
            ("UPDATE bls_signer.keys SET source_epoch = NULL, target_epoch = NULL, attestation_root = NULL", "23514"),
            ("UPDATE bls_signer.keys SET attestation_root = '\\x" + "05" * 32 + "'", "23514"),
            ("DELETE FROM bls_signer.keys", "42501"),
            ("TRUNCATE bls_signer.keys", "42501"),
            ("UPDATE bls_signer.head SET genesis_validators_root = '\\x" + "00" * 32 + "'", "42501"),
            ("UPDATE bls_signer.head SET floor_slot = NULL", "42501"),
            ("DROP TABLE bls_signer.keys", "42501"),
            ("ALTER TABLE bls_signer.keys DISABLE TRIGGER only_up", "42501"),
        ]:
            with self.subTest(statement), self.assertRaises(ServerError) as refused:
                self.connection.query(statement)
            self.assertEqual(refused.exception.code, code)

    def test_nothing_below_the_floor_of_an_accepted_loss_passes(self):
        owner = self.primary.as_owner("ledger")
        self.addCleanup(owner.close)
        floor = self.epoch + 2
        new_key = bytes([8]) * 48
        owner.query(f"UPDATE bls_signer.head SET floor_slot = {floor * 1000}, floor_epoch = {floor}")
        below = Vote(new_key, floor - 1, floor + 1, b"\1" * 32)
        at = Vote(new_key, floor, floor + 1, b"\1" * 32)
        self.assertEqual(judge(self.connection, [below]), [])
        self.assertEqual(judge(self.connection, [at]), [at])
        self.assertEqual(judge(self.connection, [Block(new_key, floor * 1000, b"\1" * 32)]), [])
        above = Block(new_key, floor * 1000 + 1, b"\1" * 32)
        self.assertEqual(judge(self.connection, [above]), [above])
        owner.query("UPDATE bls_signer.head SET floor_slot = NULL, floor_epoch = NULL")

    def target(self):
        rows = self.primary.ask(f"SELECT target_epoch FROM bls_signer.keys WHERE public_key = '\\x{KEY.hex()}'",
                                "ledger")
        return int(rows[0][0])
