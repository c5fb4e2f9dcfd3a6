"""Words as pieces, whatever the vocabulary; stretches of long sentences; batches that can be resumed."""

import pytest
import torch

from trivium import tokenizers
from trivium.data.tagged import TaggedExample, WordPieces, read_words, tagged_batch, tagged_source
from trivium.errors import DataError

SENTENCES = [["Ada", "Lovelace", "wrote", "2,000", "programs", "."], ["Ada", "wrote", "them", "in", "1843"]]
TEXTS = [" " + " ".join(words) for words in SENTENCES] * 3
KINDS = {"byte_bpe": 290, "bpe": 60, "wordpiece": 70, "unigram": 60, "word": None, "character": None}


def vocabulary(kind: str) -> tokenizers.Tokenizer:
    return tokenizers.train(TEXTS, kind=kind, vocabulary_size=KINDS[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_every_word_is_read_at_its_first_piece(kind: str) -> None:
    tokenizer = vocabulary(kind)
    read = read_words(tokenizer, SENTENCES)
    for words, stretches in zip(SENTENCES, read, strict=True):
        (stretch,) = stretches
        assert len(stretch.places) == len(words)
        for word, place in zip(words, stretch.places, strict=True):
            spelt = tokenizer.token_bytes(stretch.ids[place]).decode().strip()
            assert spelt
            assert word.startswith(spelt)


def test_a_space_with_a_piece_of_its_own_is_not_where_a_word_is_read() -> None:
    tokenizer = vocabulary("character")
    ((stretch,),) = read_words(tokenizer, [["Ada", "in"]])
    assert tokenizer.decode(stretch.ids) == " Ada in"
    assert stretch.places == [1, 5]
    byte_level = vocabulary("byte_bpe")  # whose words of digits never take the space
    ((stretch,),) = read_words(byte_level, [["1843"]])
    assert byte_level.decode(stretch.ids[stretch.places[0] :]) == "1843"
    assert stretch.places == [1]


def test_the_ids_are_those_of_the_running_text() -> None:
    tokenizer = vocabulary("byte_bpe")
    for words, (stretch,) in zip(SENTENCES, read_words(tokenizer, SENTENCES), strict=True):
        assert stretch.ids == tokenizer.encode(" " + " ".join(words))


def test_what_a_vocabulary_puts_around_a_text() -> None:
    tokenizer = vocabulary("wordpiece")
    ((stretch,),) = read_words(tokenizer, [["Ada"]])
    assert (stretch.ids[0], stretch.ids[-1], stretch.places[0]) == (tokenizer.cls_id, tokenizer.sep_id, 1)


def test_a_word_that_is_nothing_is_unknown() -> None:
    tokenizer = vocabulary("wordpiece")
    ((stretch,),) = read_words(tokenizer, [["Ada", "\u0001", "in"]])
    assert stretch.ids[stretch.places[1]] == tokenizer.unk_id
    assert len(stretch.places) == 3


def test_a_word_that_a_vocabulary_without_unknown_cannot_read(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = vocabulary("byte_bpe")
    monkeypatch.setattr(type(tokenizer), "encode_batch", lambda self, texts: [[] for _ in texts])
    with pytest.raises(DataError, match=r"no pieces(.|\n)*'Ada'"):
        read_words(tokenizer, [["Ada"]])


@pytest.mark.parametrize("longest", [1, 4, 5, 9, 100])
@pytest.mark.parametrize("kind", ["character", "wordpiece"])
def test_long_sentences_are_cut_between_words(kind: str, longest: int) -> None:
    tokenizer = vocabulary(kind)
    around = len(tokenizer.prefix_ids) + len(tokenizer.suffix_ids)
    whole = read_words(tokenizer, SENTENCES)
    for (one,), cut in zip(whole, read_words(tokenizer, SENTENCES, longest=longest), strict=True):
        assert all(len(stretch.ids) <= max(longest, around + 1) for stretch in cut)
        assert sum(len(stretch.places) for stretch in cut) == len(one.places)
        assert all(0 <= place < len(stretch.ids) for stretch in cut for place in stretch.places)
        if longest == 100:
            assert cut == [one]
        if longest == 9 and kind == "character":  # no word is longer, with its space: nothing is lost
            assert [id for stretch in cut for id in stretch.ids] == one.ids


def test_no_words() -> None:
    assert read_words(vocabulary("byte_bpe"), [[], ["Ada"]])[0] == []


# Batches -------------------------------------------------------------------------------------------------------------


def examples(count: int = 23) -> list[TaggedExample]:
    """Example n has n + 1 words, every second id begins one, and all ids are n."""
    return [
        TaggedExample(
            text=WordPieces(ids=[n] * (2 * n + 2), places=list(range(0, 2 * n + 2, 2))), tags=[n % 3] * (n + 1)
        )
        for n in range(count)
    ]


def test_a_batch() -> None:
    batch = tagged_batch(examples(), [2, 0])
    assert batch.tokens.tolist() == [[2] * 6, [0] * 6]
    assert batch.lengths.tolist() == [6, 2]
    assert batch.words.tolist() == [[0, 2, 4], [0, 0, 0]]
    assert batch.word_lengths.tolist() == [3, 1]
    assert batch.tags.tolist() == [[2, 2, 2], [0, 0, 0]]
    assert batch.num_tokens == 4


def test_every_example_once_an_epoch_and_a_resumed_source_goes_on() -> None:
    source = tagged_source(examples(), rows=4, seed=1)
    count = round(source.batches_per_epoch)
    seen = [next(source) for _ in range(count)]
    assert sorted(torch.cat([batch.word_lengths for batch in seen]).tolist()) == list(range(1, 24))
    state = source.state_dict()
    following = next(source)
    other = tagged_source(examples(), rows=4, seed=1)
    other.load_state_dict(state)
    assert torch.equal(next(other).tokens, following.tokens)


@pytest.mark.parametrize("change", ["ids", "places", "tags"])
def test_a_source_is_not_resumed_on_other_examples(change: str) -> None:
    state = tagged_source(examples(), rows=4).state_dict()
    changed = examples()
    text, tags = changed[5].text, [2] * 6
    if change == "ids":
        text = WordPieces(ids=[6] * len(text.ids), places=text.places)
    if change == "places":
        text = WordPieces(ids=text.ids, places=[1, *text.places[1:]])
    changed[5] = TaggedExample(text=text, tags=[1] * 6 if change == "tags" else tags)
    with pytest.raises(DataError, match="cannot be resumed"):
        tagged_source(changed, rows=4).load_state_dict(state)
