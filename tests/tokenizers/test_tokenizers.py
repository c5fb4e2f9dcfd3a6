"""The vocabularies: ids equal to `transformers`' and to `tokenizers`', lossless text, special tokens kept apart."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from trivium import tokenizers
from trivium.errors import StorageError, TokenizerError
from trivium.tokenizers import JsonTokenizer, SpecialTokens, check_vocabulary
from trivium.tokenizers.byte_bpe import byte_of_character, is_safe_for_fast_encoder

CORPUS = [
    "The quick brown fox jumps over the lazy dog. The dog doesn't mind, e.g. because it's lazy.\n",
    "def forward(self, tokens):\n    return self.head(self.blocks(tokens))\n\n\n",
    "aaaa aaab aabb abab baba abba   1234567 3.14159 == != <= naïve café Ωmega 漢字 🙂\r\n\t\tend",
] * 20


@pytest.fixture(scope="module")
def byte_bpe() -> JsonTokenizer:
    return tokenizers.train(CORPUS, vocabulary_size=420)


@pytest.fixture(scope="module")
def character() -> JsonTokenizer:
    return tokenizers.train(CORPUS, kind="character")


@settings(max_examples=300)
@given(text=st.text() | st.text(alphabet="ab 1'\n\t\r.=sé漢<|end>"))
def test_fast_ids_equal_the_rust_library_and_text_survives(byte_bpe: JsonTokenizer, text: str) -> None:
    ids = byte_bpe.encode(text)
    assert ids == byte_bpe._slow_encode(text)
    assert byte_bpe.encode_batch([text, text]) == [ids, ids]
    assert byte_bpe.decode(ids) == text
    assert b"".join(map(byte_bpe.token_bytes, ids)).decode() == text
    assert not set(ids) & set(byte_bpe.special_tokens.values())


def test_the_two_libraries_agree_on_what_every_character_is(byte_bpe: JsonTokenizer) -> None:
    """The pattern's classes come from two Unicode tables: around every character of the basic plane, and some above."""
    points = [*range(0xD800), *range(0xE000, 0x10000), *range(0x10000, 0x110000, 61)]
    text = "".join(f"a{chr(point)}1" for point in points)
    assert byte_bpe.encode(text) == byte_bpe._slow_encode(text)


def test_fast_encoder_is_used(byte_bpe: JsonTokenizer) -> None:
    assert byte_bpe._encode_text != byte_bpe._slow_encode


def test_tokens_that_merging_cannot_reach_are_left_to_merging() -> None:
    """`tiktoken` would join ab + c, a pair that this file does not list: the ids must follow the file."""
    merges = [("b", "c"), ("a", "b"), ("ab", "c")]
    vocabulary = {character: i for i, character in enumerate(byte_of_character())}
    vocabulary |= {"bc": 256, "ab": 257, "abc": 258}
    from tokenizers import models

    from trivium.tokenizers.byte_bpe import byte_level_tokenizer

    tokenizer = JsonTokenizer(byte_level_tokenizer(models.BPE(vocabulary, merges)), {})
    assert tokenizer._encode_text != tokenizer._slow_encode
    for text in ("abc", "ab", "abcabc", "aabcc"):
        assert tokenizer.encode(text) == tokenizer._slow_encode(text)
    assert 258 not in tokenizer.encode("abc")


@pytest.mark.parametrize("character", "a^_= \n\t")
def test_a_million_equal_characters_are_encoded(byte_bpe: JsonTokenizer, character: str) -> None:
    text = character * (1 << 20) + "end"
    assert byte_bpe.decode(byte_bpe.encode(text)) == text
    assert is_safe_for_fast_encoder(text) == (not character.isspace())


@pytest.mark.parametrize("kind", ["byte_bpe", "character"])
def test_transformers_opens_the_saved_folder_with_equal_ids(kind: str, tmp_path, request) -> None:
    ours: JsonTokenizer = request.getfixturevalue(kind)
    ours.save(tmp_path)
    theirs = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    for text in [*CORPUS[:3], "", " ", "  x\n\n y", "it's 12345!"]:
        ids = ours.encode(text)
        assert theirs.encode(text, add_special_tokens=False) == ids
        assert theirs.encode(text) == ids
        assert theirs.decode(ids) == ours.decode(ids) == text
    assert (theirs.bos_token_id, theirs.eos_token_id, theirs.pad_token_id) == (ours.bos_id, ours.eos_id, ours.pad_id)
    assert theirs.encode("a<|end|>b") == ours.encode("a<|end|>b", special=True)
    again = tokenizers.load(tmp_path)
    assert again.files() == ours.files()
    assert again.encode(CORPUS[1]) == ours.encode(CORPUS[1])


def test_special_tokens_come_only_when_asked(byte_bpe: JsonTokenizer, character: JsonTokenizer) -> None:
    for tokenizer in (byte_bpe, character):
        special = set(tokenizer.special_tokens.values())
        for token, identifier in tokenizer.special_tokens.items():
            text = f"a{token}b {token}{token}"
            assert not special & set(tokenizer.encode(text))
            assert not special & {i for ids in tokenizer.encode_batch([text]) for i in ids}
            assert tokenizer.encode(text, special=True).count(identifier) == 3
            assert tokenizer.decode([identifier]) == ""
            assert tokenizer.decode([identifier], special=True) == token
        assert len({tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id}) == 3
    assert byte_bpe.decode(byte_bpe.encode("<|end|>")) == "<|end|>"


def test_unknown_characters_stay_visible(character: JsonTokenizer) -> None:
    assert character.unk_id is not None
    assert character.encode("aжb\ud800") == [character.id("a"), character.unk_id, character.id("b"), character.unk_id]
    assert character.decode(character.encode("aжb")) == "a\N{REPLACEMENT CHARACTER}b"


def test_character_vocabulary_can_be_limited() -> None:
    special = SpecialTokens(roles=())
    tokenizer = tokenizers.train(["aaabbc"], kind="character", vocabulary_size=6)
    assert tokenizer.vocabulary_size == 6 == len(special) + 1 + 2
    assert tokenizer.decode(tokenizer.encode("abc")) == "ab\N{REPLACEMENT CHARACTER}"
    with pytest.raises(TokenizerError, match="too small for any character"):
        tokenizers.train(["abc"], kind="character", vocabulary_size=4)


def test_training_is_deterministic() -> None:
    first, second = (tokenizers.train(CORPUS, vocabulary_size=400) for _ in range(2))
    assert first.files() == second.files()


def test_lone_surrogates_do_not_stop_encoding(byte_bpe: JsonTokenizer) -> None:
    assert byte_bpe.decode(byte_bpe.encode("a\ud800b")) == "a\N{REPLACEMENT CHARACTER}b"


def test_chat_template_travels_with_the_tokenizer(byte_bpe: JsonTokenizer, tmp_path) -> None:
    byte_bpe.with_chat_template("{{ messages }}").save(tmp_path)
    assert tokenizers.load(tmp_path).chat_template == "{{ messages }}"
    assert PreTrainedTokenizerFast.from_pretrained(tmp_path).chat_template == "{{ messages }}"


def test_gpt2_files_give_the_published_ids(shared_data) -> None:
    tokenizer = tokenizers.load(shared_data / "tokenizers" / "gpt2")
    assert tokenizer.vocabulary_size == 50257
    assert tokenizer.bos_id == tokenizer.eos_id == 50256
    assert tokenizer.encode("Hello world") == [15496, 995]
    text = (shared_data / "tinyshakespeare" / "input.txt").read_text()[:200_000]
    assert tokenizer._encode_text != tokenizer._slow_encode
    assert tokenizer.encode(text) == tokenizer._slow_encode(text)


def test_impossible_training_is_refused() -> None:
    with pytest.raises(TokenizerError, match="at least 262"):
        tokenizers.train(CORPUS, vocabulary_size=200)
    with pytest.raises(TokenizerError, match="no text to learn"):
        tokenizers.train(["", ""], vocabulary_size=300)
    with pytest.raises(TokenizerError, match="needs the size"):
        tokenizers.train(CORPUS)


def test_damaged_and_absent_files_are_named(byte_bpe: JsonTokenizer, tmp_path) -> None:
    with pytest.raises(StorageError, match="no such tokenizer"):
        tokenizers.load(tmp_path / "absent")
    with pytest.raises(TokenizerError, match="holds no tokenizer"):
        tokenizers.load(tmp_path)
    byte_bpe.save(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text("[1]")
    with pytest.raises(TokenizerError, match=r"tokenizer_config.json: a JSON list"):
        tokenizers.load(tmp_path)
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": 3}))
    with pytest.raises(TokenizerError, match="damaged"):
        tokenizers.load(tmp_path)
    (tmp_path / "spiece.model").write_bytes(b"x")
    with pytest.raises(TokenizerError, match="cut off"):
        tokenizers.load(tmp_path / "spiece.model")


def test_ids_outside_the_vocabulary_are_refused(byte_bpe: JsonTokenizer) -> None:
    with pytest.raises(TokenizerError, match="not in the vocabulary"):
        byte_bpe.decode([byte_bpe.vocabulary_size])
    with pytest.raises(TokenizerError, match="not in the vocabulary"):
        byte_bpe.token(-1)


def test_different_vocabularies_are_refused(byte_bpe: JsonTokenizer) -> None:
    check_vocabulary(byte_bpe, byte_bpe.vocabulary_size)
    check_vocabulary(byte_bpe, 512)
    with pytest.raises(TokenizerError, match="a tokenizer with 411 ids, a model with 100"):
        check_vocabulary(byte_bpe, 100)
