"""The shipped statements against the rules of docs/slashing-protection.md, written down here once more, on random
messages about few keys with few numbers, so that every case comes often.
"""

import random
import unittest

from checker import Block, Vote
from clusters import DATABASE, SQL, Pair
from hosts import connect, judge
from wire import array

MESSAGES = 3000
MERGES = 1500
KEYS = [bytes([number]) * 48 for number in range(1, 25)]
# Beyond it the numbers are raised, so that few stay near a watermark.
SPAN = 6


class Rules(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.pair = Pair(synchronous=False, has_standby=False)

    @classmethod
    def tearDownClass(cls):
        cls.pair.close()

    def setUp(self):
        self.random = random.Random(3)
        self.pair.primary.ask("TRUNCATE bls_signer.keys", DATABASE)
        self.connection = connect(self.pair.primary, timeout=60)
        self.addCleanup(self.connection.close)
        # By key.
        self.blocks, self.votes = {}, {}

    def test_what_passes_is_what_the_rules_say(self):
        outcomes = set()
        for number in range(MESSAGES // len(KEYS)):
            for messages, passes in ((self.some(self.block, number), self.block_passes),
                                     (self.some(self.vote, number), self.vote_passes)):
                expected = [message for message in messages if passes(message)]
                passed = judge(self.connection, messages, replicated=False)
                self.assertEqual(passed, expected)
                outcomes |= {message in expected for message in messages}
                for message in passed:
                    (self.blocks if isinstance(message, Block) else self.votes)[message.key] = message
        self.assertEqual(outcomes, {True, False})

    def test_a_merge_only_raises_and_forgets_the_root_of_what_never_was_one_message(self):
        with open(f"{SQL}/merge.sql") as file:
            merge = file.read()
        for number in range(MERGES // len(KEYS)):
            votes, blocks = self.some(self.vote, number), self.some(self.block, number)
            votes = {vote.key: vote for vote in votes if vote.source <= vote.target}
            blocks = [block for block in blocks if block.key in votes]
            both = [(block, votes[block.key]) for block in blocks]
            columns = [[block.key for block, _ in both], [block.slot for block, _ in both],
                       [block.root for block, _ in both], [vote.source for _, vote in both],
                       [vote.target for _, vote in both], [vote.root for _, vote in both]]
            self.connection.query(merge, *map(array, columns))
            for block, vote in both:
                known = self.blocks.get(block.key)
                if known is None or block.slot > known.slot:
                    self.blocks[block.key] = block
                known = self.votes.get(vote.key)
                self.votes[vote.key] = vote if known is None else merged(known, vote)
            rows = self.connection.query(
                "SELECT public_key, block_slot, block_root, source_epoch, target_epoch, attestation_root "
                "FROM bls_signer.keys")
            for key, slot, block_root, source, target, root in rows:
                key = bytes.fromhex(key[2:])
                self.assertEqual((int(slot), root_of(block_root)), (self.blocks[key].slot, self.blocks[key].root))
                vote = self.votes[key]
                self.assertEqual((int(source), int(target), root_of(root)), (vote.source, vote.target, vote.root))

    def some(self, make, number):
        return [make(key, number) for key in self.random.sample(KEYS, self.random.randrange(1, len(KEYS)))]

    def root(self):
        return bytes([self.random.randrange(2)]) * 32

    def block(self, key, number):
        return Block(key, number // 8 + self.random.randrange(SPAN), self.root())

    def vote(self, key, number):
        source = number // 8 + self.random.randrange(SPAN)
        return Vote(key, source, max(0, source + self.random.randrange(-1, SPAN)), self.root())

    def block_passes(self, block):
        known = self.blocks.get(block.key)
        return known is None or block == known or block.slot > known.slot

    def vote_passes(self, vote):
        known = self.votes.get(vote.key)
        if vote.source > vote.target:
            return False
        return known is None or vote == known or (vote.source >= known.source and vote.target > known.target)


def merged(known, other):
    if known.source >= other.source and known.target >= other.target:
        return known
    if other.source >= known.source and other.target >= known.target:
        return other
    return Vote(known.key, max(known.source, other.source), max(known.target, other.target), None)


def root_of(text):
    return text and bytes.fromhex(text[2:])
