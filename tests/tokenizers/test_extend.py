"""More merges behind those that are there: ids stay, new text takes fewer tokens, the same text the same pieces."""

import pathlib

import pytest

from trivium import tokenizers
from trivium.errors import TokenizerError, Unsupported
from trivium.tokenizers.extend import extend

ENGLISH = ["the cat sat on the mat and the other cat sat on the other mat " * 20]
GERMAN = ["die Katze saß auf der Matte und die andere Katze saß auf der anderen Matte " * 20]


@pytest.fixture(scope="module")
def english() -> tokenizers.Tokenizer:
    return tokenizers.train(ENGLISH, vocabulary_size=300)


def test_new_pieces_are_two_old_ones(english: tokenizers.Tokenizer):
    found = extend(english, GERMAN, 25)
    larger = found.tokenizer
    assert larger.vocabulary_size == english.vocabulary_size + 25
    assert sorted(found.made_of) == list(range(english.vocabulary_size, larger.vocabulary_size))
    for number in range(english.vocabulary_size):
        assert larger.token(number) == english.token(number)
    for number, parts in found.made_of.items():
        assert max(parts) < english.vocabulary_size and len(parts) >= 2
        assert larger.token_bytes(number) == b"".join(english.token_bytes(part) for part in parts)
        spelling = larger.token_bytes(number).decode("utf-8", "replace")
        assert "\ufffd" in spelling or larger.encode(spelling) == [number]  # some end inside a character
    assert larger.special_tokens == english.special_tokens


def test_text_is_spelt_as_before_and_takes_less(english: tokenizers.Tokenizer):
    larger = extend(english, GERMAN, 25).tokenizer
    for text in (*ENGLISH, *GERMAN, "Straße, 北京 <|end|>\n\n  1984"):
        assert larger.decode(larger.encode(text)) == text
    assert len(larger.encode(GERMAN[0])) < 0.6 * len(english.encode(GERMAN[0]))
    assert len(larger.encode(ENGLISH[0])) <= len(english.encode(ENGLISH[0]))


def test_the_most_frequent_pair_first():
    """Over "abab abab cd": ab is merged (4), then abab (2); cd occurs once and is not."""
    base = tokenizers.train(["xy xy xy"], vocabulary_size=270)
    found = extend(base, ["abab abab cd"], 10)
    pieces = [found.tokenizer.token_bytes(number).decode() for number in found.made_of]
    assert pieces == ["ab", "abab"]


def test_the_same_text_gives_the_same_pieces(english: tokenizers.Tokenizer):
    one, two = (extend(english, GERMAN, 25).tokenizer for _ in range(2))
    assert one.files() == two.files()


def test_it_is_saved_and_opened(english: tokenizers.Tokenizer, tmp_path: pathlib.Path):
    larger = extend(english, GERMAN, 25).tokenizer
    larger.save(tmp_path)
    again = tokenizers.load(tmp_path)
    assert again.encode(GERMAN[0]) == larger.encode(GERMAN[0])


def test_published_vocabularies(shared_data: pathlib.Path):
    """GPT-2's, through the fast encoder too."""
    gpt2 = tokenizers.load(shared_data / "tokenizers" / "gpt2")
    found = extend(gpt2, GERMAN, 10)
    assert found.tokenizer.decode(found.tokenizer.encode(GERMAN[0])) == GERMAN[0]
    assert len(found.tokenizer.encode(GERMAN[0])) < len(gpt2.encode(GERMAN[0]))
    assert min(found.made_of) == gpt2.vocabulary_size


def test_what_cannot_be_extended(english: tokenizers.Tokenizer):
    with pytest.raises(Unsupported, match=r"byte-pair[\s\S]*Unigram"):
        extend(tokenizers.train(ENGLISH, kind="unigram", vocabulary_size=40), GERMAN, 5)
    with pytest.raises(Unsupported, match="without merges"):
        extend(tokenizers.train(ENGLISH, kind="character"), GERMAN, 5)
    with pytest.raises(TokenizerError, match="no pair of pieces occurs twice"):
        extend(english, ["q"], 5)
    with pytest.raises(TokenizerError, match="at least one piece"):
        extend(english, GERMAN, 0)
