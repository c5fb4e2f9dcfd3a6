"""Marian's two-sided tokenizer: the ids and the text of `transformers.MarianTokenizer`."""

import json
import pathlib
import random

import pytest
import transformers

from tests.tokenizers.opus import PAD, captions, write_tokenizer
from trivium import tokenizers
from trivium.errors import TokenizerError, Unsupported
from trivium.tokenizers.pieces import pieces

pytestmark = pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")

HOSTILE = [
    "", " ", "  a \t b\n", "</s> a", "a<unk>b", "<pad>", "<s>", "a </s>>>fra<< b", ">>deu<< A man.", ">>deu<<A man.",
    " >>deu<< A man.", ">>xyz<< a", ">> a", ">><<", "<<>>", "中文 test 中", "ßü ÄÖÜßß", "😀😀a😀", "ﬁﬃ ½ Ⅷ １２３",
    "a\u00a0b\u3000c\u200bd", "▁▁x ▁", "e\u0301a", "\x01a\x7f", "\ufdd0</s>", "x" * 400,
]  # fmt: skip


def both(folder: pathlib.Path) -> tuple[transformers.MarianTokenizer, tokenizers.MarianTokenizer]:
    ours = tokenizers.load(folder)
    assert isinstance(ours, tokenizers.MarianTokenizer) and isinstance(ours, tokenizers.Tokenizer)
    return transformers.MarianTokenizer.from_pretrained(folder), ours


@pytest.mark.parametrize("separate", [False, True])
def test_ids_equal_those_of_transformers(separate: bool, tmp_path, shared_data) -> None:
    write_tokenizer(tmp_path, shared_data, separate=separate)
    theirs, ours = both(tmp_path)
    texts = [*captions(shared_data, "test_2016_flickr.en")[:500], *captions(shared_data, "val.de")[:100], *HOSTILE]
    plain = {"split_special_tokens": True}
    assert [ours.encode(text) + ours.suffix_ids for text in texts] == theirs(texts, **plain).input_ids
    assert [ours.encode(text, special=True) + ours.suffix_ids for text in texts] == theirs(texts).input_ids
    assert ours.encode_batch(texts) == [ours.encode(text) for text in texts]
    texts = [*captions(shared_data, "test_2016_flickr.de")[:500], *captions(shared_data, "val.en")[:100], *HOSTILE]
    wanted = theirs(text_target=texts, **plain).input_ids
    assert [ours.encode_target(text) + ours.suffix_ids for text in texts] == wanted
    assert ours.encode_target_batch(texts) == [ours.encode_target(text) for text in texts]
    assert ours.encode("a\ud83d b") == ours.encode("a\ufffd b")


@pytest.mark.parametrize("separate", [False, True])
def test_text_equals_that_of_transformers(separate: bool, tmp_path, shared_data) -> None:
    ids = write_tokenizer(tmp_path, shared_data, separate=separate)
    theirs, ours = both(tmp_path)
    sentences = captions(shared_data, "test_2016_flickr.de")[:500]
    chance = random.Random(1)
    rows = [ours.encode_target(text) + ours.suffix_ids for text in (*sentences, *HOSTILE)]
    rows += [[chance.randrange(len(ids)) for _ in range(chance.randrange(9))] for _ in range(300)]
    assert [ours.decode(row) for row in rows] == theirs.batch_decode(rows, skip_special_tokens=True)
    shown = [ours.pad_id, *ours.encode_target("Ein Mann."), ours.eos_id, ours.eos_id]
    assert ours.decode(shown, special=True) == theirs.decode(shown, use_source_tokenizer=False)
    lossless = [text for text in sentences if ours.unk_id not in ours.encode_target(text)]
    assert len(lossless) > 100 and [ours.decode(ours.encode_target(text)) for text in lossless] == lossless


def test_the_vocabulary(tmp_path, shared_data) -> None:
    ids = write_tokenizer(tmp_path, shared_data)
    theirs, ours = both(tmp_path)
    assert ours.vocabulary_size == len(ids) == theirs.vocab_size
    assert (ours.eos_id, ours.unk_id, ours.pad_id, ours.bos_id) == (0, 1, ids[PAD], None)
    assert ours.special_tokens == {"</s>": 0, "<unk>": 1, "<pad>": ids[PAD]}
    assert ours.languages == [">>deu<<", ">>fra<<"]
    assert ours.token(ours.id("▁Mann")) == "▁Mann" and ours.token_bytes(ours.id("▁Mann")) == b" Mann"
    with pytest.raises(TokenizerError, match="not in the vocabulary"):
        ours.decode([len(ids)])
    found = pieces(ours, ">>deu<< A man 中 runs")
    assert [(piece.start, piece.end) for piece in found][:2] == [(0, 7), (8, 9)]
    assert [ours.id(">>deu<<"), *ours.encode(" A man 中 runs")] == ours.offsets(">>deu<< A man 中 runs")[0]
    for refused in (ours.files, lambda: ours.with_chat_template("{{ messages }}")):
        with pytest.raises(Unsupported):
            refused()


def test_special_tokens_come_only_when_asked(tmp_path, shared_data) -> None:
    write_tokenizer(tmp_path, shared_data)
    ours = tokenizers.load(tmp_path)
    special = set(ours.special_tokens.values()) - {ours.unk_id}
    assert not special & {i for text in HOSTILE for i in ours.encode(text)}
    assert ours.encode("a</s>b<pad>", special=True) == [*ours.encode("a"), 0, *ours.encode("b"), ours.pad_id]


def test_a_saved_folder_is_the_same(tmp_path, shared_data) -> None:
    given, theirs, ours = (tmp_path / name for name in ("given", "theirs", "ours"))
    given.mkdir()
    write_tokenizer(given, shared_data)
    transformers.MarianTokenizer.from_pretrained(given).save_pretrained(theirs)
    for folder in (given, theirs):
        tokenizers.load(folder).save(ours)
        for name in ("source.spm", "target.spm", "vocab.json"):
            assert (ours / name).read_bytes() == (folder / name).read_bytes()
        config = json.loads((ours / "tokenizer_config.json").read_text())
        assert config == {"tokenizer_class": "MarianTokenizer"} | json.loads(
            (folder / "tokenizer_config.json").read_text()
        )
        text = "A man in a blue shirt."
        again = transformers.AutoTokenizer.from_pretrained(ours)
        assert again(text).input_ids[:-1] == tokenizers.load(ours).encode(text) == tokenizers.load(given).encode(text)
    assert tokenizers.load(given / "source.spm").encode(text) == tokenizers.load(given / "vocab.json").encode(text)


@pytest.mark.parametrize("missing", ["source.spm", "target.spm", "vocab.json", "target_vocab.json"])
def test_what_is_missing_is_named(missing: str, tmp_path, shared_data) -> None:
    write_tokenizer(tmp_path, shared_data, separate=True)
    (tmp_path / missing).unlink()
    with pytest.raises(TokenizerError, match=f"without {missing}"):
        tokenizers.load(tmp_path)


def test_neither_model_is_there(tmp_path, shared_data) -> None:
    write_tokenizer(tmp_path, shared_data, config={"tokenizer_class": "MarianTokenizer"})
    for name in ("source.spm", "target.spm"):
        (tmp_path / name).unlink()
    with pytest.raises(TokenizerError, match=r"without source\.spm and target\.spm"):
        tokenizers.load(tmp_path)


def test_damaged_files_are_named(tmp_path, shared_data) -> None:
    ids = write_tokenizer(tmp_path, shared_data)
    del ids[PAD]
    (tmp_path / "vocab.json").write_text(json.dumps(ids))
    with pytest.raises(TokenizerError, match="no id for <pad>"):
        tokenizers.load(tmp_path)
    write_tokenizer(tmp_path, shared_data)
    (tmp_path / "target.spm").write_bytes((tmp_path / "target.spm").read_bytes()[:-5])
    with pytest.raises(TokenizerError, match=r"target\.spm"):
        tokenizers.load(tmp_path)


def test_added_tokens_are_refused(tmp_path, shared_data) -> None:
    added = {"2": {"content": "<name>", "special": True}}
    write_tokenizer(tmp_path, shared_data, config={"added_tokens_decoder": added})
    with pytest.raises(Unsupported, match="<name>"):
        tokenizers.load(tmp_path)
    write_tokenizer(tmp_path, shared_data, config={"extra_special_tokens": [">>fra<<"]})
    assert ">>fra<<" in tokenizers.load(tmp_path).special_tokens
