"""Which pieces make a word, in every kind of vocabulary."""

import numpy as np
import pytest

from trivium.data.word_units import WordTable
from trivium.tokenizers import Tokenizer
from trivium.tokenizers.train import train

TEXT = "The tiger, thirsty as it was, drank 12 litres of water."
WORDS = ["The", "tiger", ",", "thirsty", "as", "it", "was", ",", "drank", "12", "litres", "of", "water", "."]
SIZES = {"wordpiece": 45, "byte_bpe": 290, "bpe": 45, "unigram": 35}
LEARNT = [TEXT.lower(), "thirsty as a tiger was it drank water of the river, the tiger " * 2]


def words_of(tokenizer: Tokenizer, ids: list[int]) -> list[str]:
    units = WordTable.of(tokenizer).units(np.array(ids))
    assert units[0] == 0 and set(np.diff(units)) <= {0, 1}
    found = [
        tokenizer.decode([id for id, unit in zip(ids, units, strict=True) if unit == n]) for n in range(units[-1] + 1)
    ]
    return [word.strip() for word in found]


@pytest.mark.parametrize("kind", [*SIZES, "character"])
def test_pieces_of_a_word_belong_together_and_marks_stand_alone(kind: str):
    # So small a vocabulary cuts words in pieces.
    size = {"vocabulary_size": SIZES[kind]} if kind in SIZES else {}
    tokenizer = train([TEXT, *LEARNT], kind, **size)
    ids = tokenizer.encode(TEXT)
    assert len(ids) > len(WORDS)
    assert words_of(tokenizer, ids) == WORDS


def test_of_a_vocabulary_of_words_every_token_is_one():
    tokenizer = train([TEXT], "word", minimum_count=1)
    ids = tokenizer.encode("The tiger drank")
    assert WordTable.of(tokenizer).units(np.array(ids)).tolist() == [0, 1, 2]


def test_special_tokens_stand_alone_whatever_is_beside_them():
    tokenizer = train([TEXT, *LEARNT], "wordpiece", vocabulary_size=80)
    cls, sep = tokenizer.prefix_ids[0], tokenizer.suffix_ids[0]
    table = WordTable.of(tokenizer)
    (joined,) = tokenizer.encode_joined([("thirsty", "tiger")])
    units = table.units(np.array(joined.ids))
    assert len(set(units)) == 5  # [CLS] thirsty [SEP] tiger [SEP]
    assert not table.is_word[[cls, sep]].any()
    assert table.units(np.array([], dtype=np.int64)).tolist() == []
