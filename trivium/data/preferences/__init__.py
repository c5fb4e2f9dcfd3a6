"""Preference data: answers to a prompt, and which of them people like better.

    judged = read_judged(Path("pairs.jsonl"))           # pairs, rankings, scores, labels, OpenAssistant trees
    told(judged)                                        # "2,308 judgements of 2,301 prompts: 2,308 pairs"
    train, held_out = split(judged, 0.1)                # by prompt
    pairs_of(train).pairs                               # every pair of a ranking, weight 1 / C(K, 2)

`trivium.data.preferences.forms` lists what a line may look like.
"""

from trivium.data.preferences.consistency import Contradiction, contradictions
from trivium.data.preferences.judged import DEFAULT, Judged, ranks_by_score
from trivium.data.preferences.pairs import Pair, Pairs, pairs_of, split
from trivium.data.preferences.read import Reading, read_judged, read_preferences, told

__all__ = [
    "DEFAULT",
    "Contradiction",
    "Judged",
    "Pair",
    "Pairs",
    "Reading",
    "contradictions",
    "pairs_of",
    "ranks_by_score",
    "read_judged",
    "read_preferences",
    "split",
    "told",
]
