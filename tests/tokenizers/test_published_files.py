"""The published files of GPT-2, BERT, T5, CLIP and tiktoken: ids of the programs they were made for."""

import base64
import json
import shutil
from types import SimpleNamespace

import pytest
import tiktoken
from tiktoken.load import data_gym_to_mergeable_bpe_ranks, load_tiktoken_bpe
from transformers import AutoTokenizer, BertTokenizer, CLIPTokenizer, GPT2Tokenizer, T5Tokenizer

from trivium import tokenizers
from trivium.errors import TokenizerError
from trivium.tokenizers import Tokenizer
from trivium.tokenizers.tiktoken_files import ENCODINGS

FILES = {
    "gpt2": "gpt2",
    "bert-uncased": "bert/bert-base-uncased-vocab.txt",
    "bert-cased": "bert/bert-base-cased-vocab.txt",
    "t5": "t5",
    "clip": "clip",
    "cl100k": "tiktoken",
}
# As tiktoken has it (MIT), possessive; ours is written in what `tokenizers` understands too.
CL100K = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
    r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
)
GPT2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"


@pytest.fixture(scope="module")
def loaded(shared_data) -> dict[str, Tokenizer]:
    return {name: tokenizers.load(shared_data / "tokenizers" / path) for name, path in FILES.items()}


@pytest.fixture(scope="module")
def theirs(shared_data):
    """The classes of `transformers`, built from the same files."""
    folder = shared_data / "tokenizers"

    def pair(vocabulary: str, merges: str) -> dict:
        lines = (folder / merges).read_text(encoding="utf-8").split("\n")[1:]
        return {
            "vocab": json.loads((folder / vocabulary).read_text(encoding="utf-8")),
            "merges": [tuple(line.split(" ")) for line in lines if line],
        }

    def lines(name: str) -> dict[str, int]:
        text = (folder / "bert" / f"bert-base-{name}-vocab.txt").read_text(encoding="utf-8")
        return {line: number for number, line in enumerate(text.split("\n")[:-1])}

    return {
        "gpt2": GPT2Tokenizer(**pair("gpt2/encoder.json", "gpt2/vocab.bpe")),
        "bert-uncased": BertTokenizer(vocab=lines("uncased"), do_lower_case=True),
        "bert-cased": BertTokenizer(vocab=lines("cased"), do_lower_case=False),
        "t5": T5Tokenizer.from_pretrained(folder / "t5"),
        "clip": CLIPTokenizer(**pair("clip/clip_encoder.json", "clip/clip_vocab.bpe")),
    }


@pytest.mark.parametrize("name", ["gpt2", "bert-uncased", "bert-cased", "t5", "clip"])
def test_ids_equal_those_of_transformers(name: str, loaded, theirs, reference_texts) -> None:
    different = []
    for label, text in reference_texts.items():
        ids = loaded[name].encode(text)
        whole = loaded[name].prefix_ids + ids + loaded[name].suffix_ids
        if (ids, whole) != (theirs[name].encode(text, add_special_tokens=False), theirs[name].encode(text)):
            different.append(label)
    # T5's class in `transformers` 5 cuts at U+0085, which SentencePiece, whose file it is, does not (see below).
    assert different == (["controls"] if name == "t5" else [])


@pytest.mark.parametrize("name", ["gpt2", "bert-uncased", "bert-cased", "t5", "clip"])
def test_text_is_decoded_as_transformers_does(name: str, loaded, theirs, language_texts) -> None:
    for label, text in language_texts.items():
        ids = loaded[name].encode(text)
        assert loaded[name].decode(ids) == theirs[name].decode(ids, skip_special_tokens=True), label


@pytest.mark.parametrize("name", ["cl100k", "gpt2"])
def test_ids_equal_those_of_tiktoken(name: str, loaded, shared_data, reference_texts, monkeypatch) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", "")
    folder = shared_data / "tokenizers"
    if name == "cl100k":
        ranks, pattern = load_tiktoken_bpe(str(folder / "tiktoken" / "cl100k_base.tiktoken")), CL100K
    else:
        files = {
            "vocab_bpe_file": str(folder / "gpt2/vocab.bpe"),
            "encoder_json_file": str(folder / "gpt2/encoder.json"),
        }
        ranks, pattern = data_gym_to_mergeable_bpe_ranks(**files), GPT2
    encoding = tiktoken.Encoding("reference", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    for label, text in reference_texts.items():
        ids = loaded[name].encode(text)
        assert ids == encoding.encode_ordinary(text) == loaded[name]._slow_encode(text), label
        assert loaded[name].decode(ids) == text, label


def test_ids_equal_those_of_sentencepiece(loaded, shared_data, reference_texts) -> None:
    sentencepiece = pytest.importorskip("sentencepiece")
    program = sentencepiece.SentencePieceProcessor(model_file=str(shared_data / "tokenizers/t5/spiece.model"))
    different = [label for label, text in reference_texts.items() if loaded["t5"].encode(text) != program.encode(text)]
    # `tokenizers` normalises whole grapheme clusters, SentencePiece the longest match.
    assert set(different) <= {"combining marks"}


@pytest.mark.parametrize("name", FILES)
def test_the_saved_form_opens_in_transformers(name: str, loaded, reference_texts, tmp_path) -> None:
    loaded[name].save(tmp_path)
    opened = AutoTokenizer.from_pretrained(tmp_path)
    again = tokenizers.load(tmp_path)
    for label, text in reference_texts.items():
        ids = loaded[name].encode(text)
        assert opened.encode(text, add_special_tokens=False) == ids == again.encode(text), label
    assert len(opened) == loaded[name].vocabulary_size
    for role in ("bos", "eos", "pad", "unk", "cls", "sep", "mask"):
        if (id := getattr(loaded[name], f"{role}_id")) is not None:
            assert getattr(opened, f"{role}_token_id") == id


@pytest.mark.parametrize("name", FILES)
def test_special_tokens_never_come_from_text(name: str, loaded) -> None:
    tokenizer = loaded[name]
    allowed = {tokenizer.unk_id}
    for token, id in tokenizer.special_tokens.items():
        for text in (token, f"a {token} b", f"a{token}{token}", token.upper(), token + "\ufdd0" + token):
            assert not (set(tokenizer.special_tokens.values()) - allowed) & set(tokenizer.encode(text)), text
        assert id not in tokenizer.encode_batch([token])[0] or id == tokenizer.unk_id
        assert tokenizer.encode(token, special=True) == [id]


def test_t5_reads_the_end_in_a_text_as_sentencepiece_does(loaded, shared_data) -> None:
    sentencepiece = pytest.importorskip("sentencepiece")
    program = sentencepiece.SentencePieceProcessor(model_file=str(shared_data / "tokenizers/t5/spiece.model"))
    for text in ("a </s> b", "</s>", "<pad><pad>", "x<unk>y <unk>"):
        assert loaded["t5"].encode(text) == program.encode(text), text
    assert loaded["t5"].encode("</s>", special=True) == [1]
    assert loaded["t5"].id("<extra_id_0>") == 32_099


def test_lower_casing_is_told_or_guessed(loaded, shared_data, tmp_path) -> None:
    assert loaded["bert-uncased"].encode("Hello") == loaded["bert-uncased"].encode("hello")
    assert loaded["bert-cased"].encode("Hello") != loaded["bert-cased"].encode("hello")
    shutil.copy(shared_data / "tokenizers/bert/bert-base-cased-vocab.txt", tmp_path / "vocab.txt")
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": true, "strip_accents": false}')
    told = tokenizers.load(tmp_path)
    assert told.encode("Hello") == told.encode("hello")


def test_a_tiktoken_file_of_unknown_name_needs_a_pattern(loaded, shared_data, tmp_path) -> None:
    path = tmp_path / "mine.tiktoken"
    lines = (shared_data / "tokenizers/tiktoken/cl100k_base.tiktoken").read_bytes().split(b"\n")[:2000]
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(TokenizerError, match=r"cl100k_base\.tiktoken(.|\n)*pattern="):
        tokenizers.load(path)
    tokenizer = tokenizers.load(path, pattern=ENCODINGS["cl100k_base"].pattern)
    assert tokenizer._encode_text != tokenizer._slow_encode
    assert tokenizer.decode(tokenizer.encode("Hello, wörld")) == "Hello, wörld"
    with pytest.raises(TokenizerError, match="only a tiktoken file"):
        tokenizers.load(shared_data / "tokenizers/t5", pattern="x")


def test_tiktoken_tokens_that_merging_cannot_make(tmp_path) -> None:
    """`tiktoken` finds them where they are whole words, and merges by what two neighbours join to."""
    words = [b"he", b"ll", b"xyz", b"hell", b"abcd", b"bc", b"abc"]
    tokens = [bytes([i]) for i in range(256)] + words
    path = tmp_path / "odd.tiktoken"
    path.write_text("\n".join(f"{base64.b64encode(token).decode()} {rank}" for rank, token in enumerate(tokens)))
    pattern = ENCODINGS["cl100k_base"].pattern
    tokenizer = tokenizers.load(path, pattern=pattern)
    ranks = {token: rank for rank, token in enumerate(tokens)}
    encoding = tiktoken.Encoding("odd", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    for text in ("hello xyz hell", "xyz", "xyzz abcd abcde abc bcd", "hellhell"):
        assert tokenizer.encode(text) == encoding.encode_ordinary(text), text


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("character", ["a", " ", "\n", "^", "🙂", "東"])
def test_half_a_mebibyte_of_one_character_is_read_once(name: str, character: str, loaded, monkeypatch) -> None:
    """By one encoder, and as a whole. Both take time in proportion (`benchmarks/long_runs.py`); where one did not, this
    would not end."""
    tokenizer, text = loaded[name], character * ((1 << 19) // len(character.encode()))
    read: list[tuple[str, int]] = []
    fast, slow = tiktoken.Encoding.encode_ordinary, tokenizer._plain

    def read_fast(encoding: tiktoken.Encoding, asked: str) -> list[int]:
        read.append(("fast", len(asked)))
        return fast(encoding, asked)

    def read_slow(asked: list[str], **options: bool) -> list:
        read.extend(("slow", len(each)) for each in asked)
        return slow.encode_batch_fast(asked, **options)

    monkeypatch.setattr(tiktoken.Encoding, "encode_ordinary", read_fast)
    monkeypatch.setitem(vars(tokenizer), "_plain", SimpleNamespace(encode_batch_fast=read_slow))
    # White space overflows the stack of the fast one.
    once = ("fast" if name in ("gpt2", "cl100k") and not character.isspace() else "slow", len(text))
    ids = tokenizer.encode(text)
    assert read == [once]
    assert tokenizer.encode_batch([text]) == [ids]
    assert read == [once, once]
    if name in ("gpt2", "cl100k"):
        assert tokenizer.decode(ids) == text


def test_the_fast_encoder_serves_gpt2_and_tiktoken_files(loaded) -> None:
    for name, tokenizer in loaded.items():
        assert (tokenizer._encode_text != tokenizer._slow_encode) == (name in ("gpt2", "cl100k"))


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("spiece.model", b"\x0a\xff", "cut off"),
        ("spiece.model", b"", "no pieces"),
        ("tokenizer.model", b"\x0b" * 50, "wire type"),
        ("vocab.txt", b"a\nb\n", r"\[UNK\]"),
        ("vocab.txt", b"\xff\n", "not UTF-8"),
        ("cl100k_base.tiktoken", b"!!! 0\n", "line 1"),
        ("cl100k_base.tiktoken", b"IQ== 0\n", "not every byte"),
    ],
)
def test_damaged_files_are_named(file: str, content: bytes, reason: str, tmp_path) -> None:
    (tmp_path / file).write_bytes(content)
    with pytest.raises(TokenizerError, match=rf"damaged(.|\n)*{file}(.|\n)*{reason}"):
        tokenizers.load(tmp_path / file)
