"""Special tokens never come from text, however a model could make them of it."""

import json

import pytest
from tokenizers import AddedToken, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as Backend

from trivium import tokenizers
from trivium.tokenizers import JsonTokenizer
from trivium.tokenizers.byte_bpe import byte_level_tokenizer
from trivium.tokenizers.spelling import byte_of_character
from trivium.tokenizers.user_text import HIDDEN, without_special


def special(token: str, **options: bool) -> AddedToken:
    return AddedToken(token, special=True, normalized=False, **options)


def test_a_merge_that_makes_one_is_not_used() -> None:
    """As in the first conversions of Llama, whose merges are every pair of pieces that joins to a piece."""
    vocabulary = {"<unk>": 0, "<s>": 1, "<": 2, "s": 3, ">": 4, "s>": 5, "<s": 6}
    backend = Backend(models.BPE(vocabulary, [("s", ">"), ("<", "s>"), ("<", "s")], unk_token="<unk>"))
    backend.add_special_tokens([special("<unk>"), special("<s>")])
    tokenizer = JsonTokenizer(backend, {})
    assert tokenizer.encode("<s>") == [2, 5]
    assert tokenizer.encode("<s>", special=True) == [1]
    assert tokenizer.encode("<ss>") == [6, 5]


def test_whole_words_are_not_looked_up_among_them() -> None:
    """``ignore_merges``, as in Llama 3, takes a whole word for a token before any merging."""
    vocabulary = {character: i for i, character in enumerate(byte_of_character())} | {"<|end|>": 256, "ab": 257}
    backend = byte_level_tokenizer(models.BPE(vocabulary, [("a", "b")], ignore_merges=True), r"\S+|\s+")
    backend.add_special_tokens([special("<|end|>")])
    tokenizer = JsonTokenizer(backend, {})
    assert tokenizer._encode_text != tokenizer._slow_encode
    for encode in (tokenizer.encode, tokenizer._slow_encode):
        assert 256 not in encode("<|end|>") and len(encode("<|end|>")) == 7
        assert encode("ab abab") == [257, vocabulary["Ġ"], 257, 257]
    assert tokenizer.encode("<|end|>", special=True) == [256]


def test_a_piece_found_only_as_a_whole_word_goes_the_slow_way() -> None:
    """`tiktoken` would join it inside a longer word, which the file does not."""
    vocabulary = {character: i for i, character in enumerate(byte_of_character())} | {"ab": 256, "xyz": 257}
    backend = byte_level_tokenizer(models.BPE(vocabulary, [("a", "b")], ignore_merges=True), r"\S+|\s+")
    tokenizer = JsonTokenizer(backend, {})
    assert tokenizer._encode_text == tokenizer._slow_encode
    assert tokenizer.encode("xyz") == [257] and 257 not in tokenizer.encode("xyza")


@pytest.mark.parametrize("options", [{"lstrip": True}, {"rstrip": True}, {"single_word": True}])
def test_they_take_no_space_from_the_text_beside_them(options: dict) -> None:
    pieces = ["<unk>", "<mask>", "a", " ", "<", "m", "s", "k", ">"]
    backend = Backend(models.BPE({piece: i for i, piece in enumerate(pieces)}, [], unk_token="<unk>"))
    backend.add_special_tokens([special("<unk>"), special("<mask>", **options)])
    backend.decoder = decoders.Fuse()
    tokenizer = JsonTokenizer(backend, {})
    assert tokenizer.decode(tokenizer.encode("a <mask> a")) == "a <mask> a"
    assert tokenizer.encode("a <mask> a", special=True).count(1) == 1


def test_word_level_files_hide_all_of_them_but_the_unknown() -> None:
    pieces = ["<unk>", "</s>", "word"]
    backend = Backend(models.WordLevel({piece: i for i, piece in enumerate(pieces)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.add_special_tokens([special("<unk>"), special("</s>")])
    tokenizer = JsonTokenizer(backend, {"eos_token": "</s>"})
    assert tokenizer.encode(f"word </s> <unk> {HIDDEN}</s> {HIDDEN}<unk>") == [2, 0, 0, 0, 0]
    assert tokenizer.encode_batch(["</s>", "word"]) == [[0], [2]]
    assert tokenizer.encode("word </s>", special=True) == [2, 1]
    assert tokenizer.decode([2, 1]) == "word" and tokenizer.decode([2, 1], special=True) == "word </s>"


def test_tokens_that_the_configuration_names_are_special(tmp_path) -> None:
    """`transformers` reads them so, whatever `tokenizer.json` says of them."""
    backend = Backend(models.WordLevel({"<unk>": 0, "<eos>": 1, "word": 2}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.add_tokens([AddedToken("<eos>", special=False, normalized=False)])
    (tmp_path / "tokenizer.json").write_text(backend.to_str())
    assert 1 in tokenizers.load(tmp_path).encode("word <eos>")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"eos_token": {"content": "<eos>"}}))
    assert tokenizers.load(tmp_path).encode("word <eos>") == [2, 0]
    assert tokenizers.load(tmp_path).eos_id == 1


def test_nothing_is_copied_where_the_model_cannot_make_them() -> None:
    tokenizer = tokenizers.train(["some text"] * 3, vocabulary_size=270)
    assert without_special(json.loads(tokenizer.files()["tokenizer.json"])) is None


def test_roberta_files_open_with_their_roles(tmp_path) -> None:
    from transformers import RobertaTokenizer

    names = ["<s>", "<pad>", "</s>", "<unk>", *byte_of_character(), "he", "<mask>"]
    vocabulary = {piece: id for id, piece in enumerate(names)}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    (tmp_path / "merges.txt").write_text("#version: 0.2\nh e\n")
    ours = tokenizers.load(tmp_path)
    theirs = RobertaTokenizer(vocab=vocabulary, merges=[("h", "e")])
    assert ours.prefix_ids == [0] and ours.suffix_ids == [2] and ours.mask_id == len(names) - 1
    for text in ("hehe, café", "", " x"):
        assert ours.encode(text) == theirs.encode(text, add_special_tokens=False)
    assert ours.encode("he <mask>", special=True) == [vocabulary["he"], ours.mask_id]
    assert ours.mask_id not in ours.encode("he <mask>")
