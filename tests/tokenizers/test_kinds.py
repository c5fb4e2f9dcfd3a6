"""Vocabularies we train, of each kind: `transformers` opens them, what is lost is known, training is repeatable."""

import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from trivium import tokenizers
from trivium.errors import TokenizerError, Unsupported
from trivium.tokenizers import SpecialTokens, Tokenizer
from trivium.tokenizers.special import BERT, WITH_UNKNOWN

KINDS = ("byte_bpe", "bpe", "wordpiece", "unigram", "word", "character")
SIZE = 1500


@pytest.fixture(scope="module")
def trained(training_texts) -> dict[str, Tokenizer]:
    return {kind: tokenizers.train(training_texts, kind=kind, vocabulary_size=SIZE) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_transformers_opens_the_saved_folder_with_equal_ids(kind, trained, reference_texts, tmp_path) -> None:
    ours = trained[kind]
    ours.save(tmp_path)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    again = tokenizers.load(tmp_path)
    for label, text in reference_texts.items():
        ids = ours.encode(text)
        assert theirs.encode(text, add_special_tokens=False) == ids == again.encode(text), label
        assert ours.encode_batch([text, text]) == [ids, ids]
    assert len(theirs) == ours.vocabulary_size
    for role in ("bos", "eos", "pad", "cls", "sep", "mask"):
        assert getattr(theirs, f"{role}_token_id") == getattr(ours, f"{role}_id")
    assert again.files() == ours.files()


@pytest.mark.parametrize("kind", KINDS)
def test_special_tokens_come_first_and_never_from_text(kind: str, trained) -> None:
    ours = trained[kind]
    default = {"byte_bpe": SpecialTokens(), "wordpiece": BERT, "character": SpecialTokens(roles=())}
    expected = list(default.get(kind, WITH_UNKNOWN))
    assert ours.special_tokens == {token: id for id, token in enumerate(expected)}
    allowed = set() if ours.unk_id is None else {ours.unk_id}
    for token, id in ours.special_tokens.items():
        text = f"a {token} b{token} {token}{token} \ufdd0{token}"
        assert not (set(ours.special_tokens.values()) - allowed) & set(ours.encode(text))
        assert ours.encode(token, special=True) == [id]
        assert ours.decode([id]) == ""


@pytest.mark.parametrize("kind", KINDS)
def test_the_vocabulary_fits(kind: str, trained) -> None:
    ours = trained[kind]
    assert ours.vocabulary_size <= SIZE
    if kind != "character":
        assert ours.vocabulary_size >= 0.9 * SIZE


ASCII = st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126))


@settings(max_examples=60)
@given(text=st.text())
def test_byte_level_loses_nothing(trained, text: str) -> None:
    assert trained["byte_bpe"].decode(trained["byte_bpe"].encode(text)) == text


@settings(max_examples=60)
@given(text=st.text(alphabet=" \n\tabcdefghijklmnopqrstuvwxyzABCDE.,'0123456789"))
@pytest.mark.parametrize("kind", ["bpe", "unigram", "character"])
def test_known_characters_survive_with_all_white_space(trained, kind: str, text: str) -> None:
    known = "".join(c for c in text if c in " \n" or trained[kind].id(c) is not None)
    assert trained[kind].decode(trained[kind].encode(known)) == known


@settings(max_examples=40)
@given(text=ASCII)
@pytest.mark.parametrize("kind", ["wordpiece", "word"])
def test_words_survive_but_not_the_space_between(trained, kind: str, text: str) -> None:
    """What was decoded and encoded again is the same: the loss happens once."""
    once = trained[kind].decode(trained[kind].encode(text))
    assert "".join(trained[kind].decode(trained[kind].encode(once)).split()) == "".join(once.split())


def test_what_each_kind_loses(trained) -> None:
    assert trained["bpe"].decode(trained["bpe"].encode("a ▁ b\U0001f642c")) == "a   bc"
    assert trained["unigram"].decode(trained["unigram"].encode("a ▁ b\U0001f642c")) == "a   bc"
    assert trained["character"].decode(trained["character"].encode("a\U0001f642")) == "a\N{REPLACEMENT CHARACTER}"
    assert trained["wordpiece"].decode(trained["wordpiece"].encode("the\n  the\x00")) == "the the"
    assert trained["word"].decode(trained["word"].encode("the  xqzxq the")) == "the the"


def test_lower_casing(training_texts) -> None:
    for kind in ("wordpiece", "word"):
        lower = tokenizers.train(training_texts, kind=kind, vocabulary_size=SIZE, lowercase=True)
        assert lower.encode("The MAN") == lower.encode("the man")
        assert not any(piece != piece.lower() for piece in map(lower.token, range(7, lower.vocabulary_size)))
    accents = tokenizers.train(["café cafe"] * 3, kind="wordpiece", vocabulary_size=60, lowercase=True)
    assert accents.encode("café") == accents.encode("CAFE")


def test_rare_words_are_unknown() -> None:
    text = "b b a a a c"
    tokenizer = tokenizers.train([text], kind="word", minimum_count=2)
    special = list(WITH_UNKNOWN)
    assert [tokenizer.token(id) for id in range(tokenizer.vocabulary_size)] == [*special, "a", "b"]
    assert tokenizer.encode("a b c <unk>") == [7, 8, tokenizer.unk_id, tokenizer.unk_id]
    assert tokenizers.train([text], kind="word", minimum_count=1, vocabulary_size=8).vocabulary_size == 8


@pytest.mark.parametrize("kind", ["bpe", "wordpiece", "unigram"])
def test_rare_characters_are_unknown(kind: str) -> None:
    """a, b and, where it is a part of the words, the space."""
    tokenizer = tokenizers.train(
        ["aab ab ba aa é"] * 4, kind=kind, vocabulary_size=40, alphabet_size=3 - (kind == "wordpiece")
    )
    assert tokenizer.unk_id in tokenizer.encode("é")
    assert tokenizer.unk_id not in tokenizer.encode("abba")


def test_others_follow_the_roles(tmp_path) -> None:
    sentinels = tuple(f"<extra_id_{i}>" for i in range(3))
    special = SpecialTokens(bos=None, eos="</s>", pad="<pad>", unk="<unk>", roles=(), others=sentinels)
    tokenizer = tokenizers.train(["some text, some more"] * 5, kind="unigram", vocabulary_size=60, special=special)
    assert list(tokenizer.special_tokens) == ["</s>", "<pad>", "<unk>", *sentinels]
    assert tokenizer.bos_id is None and tokenizer.eos_id == 0 and tokenizer.unk_id == 2
    tokenizer.save(tmp_path)
    assert AutoTokenizer.from_pretrained(tmp_path).encode("<extra_id_1>", add_special_tokens=False) == [4]


SCRIPT = """
import hashlib, json, sys
from trivium import tokenizers
texts = json.load(sys.stdin)
for kind in ("bpe", "wordpiece", "unigram", "word"):
    limit = {} if kind == "word" else {"alphabet_size": 90}
    files = tokenizers.train(texts, kind=kind, vocabulary_size=700, **limit).files()
    print(hashlib.sha256(json.dumps(files).encode()).hexdigest())
"""


def test_the_same_text_gives_the_same_vocabulary_in_every_process(training_texts) -> None:
    given = json.dumps([text[:8000] for text in training_texts])
    runs = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            input=given,
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": s},
        ).stdout
        for s in "12"
    ]
    assert runs[0] == runs[1] and len(runs[0].split()) == 4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("character", ["a", " ", "\n", "^", "🙂", "東"])
def test_a_mebibyte_of_one_character_is_encoded(kind: str, character: str, trained) -> None:
    """In time in proportion (`benchmarks/long_runs.py`): where it were not, this would not end."""
    text = character * ((1 << 20) // len(character.encode()))
    ids = trained[kind].encode(text)
    assert trained[kind].encode_batch([text]) == [ids]


def test_options_of_other_kinds_are_refused() -> None:
    with pytest.raises(TokenizerError, match="minimum_count does not apply"):
        tokenizers.train(["a"], kind="bpe", vocabulary_size=100, minimum_count=3)
    with pytest.raises(TokenizerError, match="lowercase does not apply"):
        tokenizers.train(["a"], vocabulary_size=300, lowercase=True)
    with pytest.raises(TokenizerError, match="alphabet_size does not apply"):
        tokenizers.train(["a"], kind="word", alphabet_size=3)
    with pytest.raises(TokenizerError, match="must be positive"):
        tokenizers.train(["a"], kind="word", minimum_count=0)
    with pytest.raises(TokenizerError, match="needs a token for what it cannot spell"):
        tokenizers.train(["a"], kind="bpe", vocabulary_size=100, special=SpecialTokens())
    with pytest.raises(TokenizerError, match="has no unknown token"):
        tokenizers.train(["a"], vocabulary_size=300, special=WITH_UNKNOWN)
    with pytest.raises(TokenizerError, match="not all different"):
        tokenizers.train(["a"], vocabulary_size=300, special=SpecialTokens(bos="<|end|>"))
    with pytest.raises(Unsupported, match="'unigram'"):
        tokenizers.train(["a"], kind="byte-bpe", vocabulary_size=300)


@pytest.mark.parametrize("kind", ["bpe", "wordpiece", "unigram"])
def test_too_small_vocabularies_are_refused(kind: str) -> None:
    with pytest.raises(TokenizerError, match="needs the size"):
        tokenizers.train(["abc"], kind=kind)
    with pytest.raises(TokenizerError, match="at least"):
        tokenizers.train(["abc"], kind=kind, vocabulary_size=7)
    with pytest.raises(TokenizerError, match="too small for any word"):
        tokenizers.train(["abc"], kind="word", vocabulary_size=7)
