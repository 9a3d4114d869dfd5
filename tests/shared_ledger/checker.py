"""Brute-force checker: every answer that anybody was ever given, against every other one of its key. It knows no
rule of ours, only what the beacon chain punishes. As a program it reads answers, one a line: a JSON object with the fields
of a vote or of a block; its exit status is 1 when any would be slashed.
"""

import json
import sys
from collections import defaultdict
from dataclasses import dataclass


@dataclass(frozen=True)
class Vote:
    """An attestation; `root` stands for all that was signed."""
    key: bytes
    source: int
    target: int
    root: bytes


@dataclass(frozen=True)
class Block:
    key: bytes
    slot: int
    root: bytes


@dataclass
class Found:
    """What was compared, and what would be slashed."""
    grants: int = 0
    pairs: int = 0
    double_votes: int = 0
    surrounds: int = 0
    double_blocks: int = 0

    @property
    def conflicts(self):
        return self.double_votes + self.surrounds + self.double_blocks

    def __str__(self):
        return (f"{self.grants} grants, {self.pairs} pairs compared: {self.double_votes} double votes, "
                f"{self.surrounds} surrounds, {self.double_blocks} double blocks")


def check(grants):
    """Compares all messages that were granted, each as often as it was granted."""
    found = Found(grants=len(grants))
    by_key = defaultdict(set)
    for grant in grants:
        by_key[type(grant), grant.key].add(grant)
    for messages in by_key.values():
        messages = list(messages)
        for place, one in enumerate(messages):
            for other in messages[:place]:
                found.pairs += 1
                if isinstance(one, Block):
                    found.double_blocks += one.slot == other.slot
                elif one.target == other.target:
                    found.double_votes += 1
                elif (one.source < other.source) == (one.target > other.target) and one.source != other.source:
                    found.surrounds += 1
    return found


def granted(line):
    answer = json.loads(line)
    return Block(**answer) if "slot" in answer else Vote(**answer)


if __name__ == "__main__":
    outcome = check([granted(line) for line in sys.stdin])
    print(outcome)
    sys.exit(outcome.conflicts > 0)
