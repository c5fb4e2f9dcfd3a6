"""One text or two as one row of ids: what `transformers` makes of the same folder."""

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import processors
from transformers import PreTrainedTokenizerFast

from trivium import tokenizers
from trivium.errors import ConfigError, DataError
from trivium.recipes.prepare_config import PrepareConfig, checked
from trivium.tokenizers import JsonTokenizer
from trivium.tokenizers.joined import cut_longest_first
from trivium.tokenizers.special import SENTINELS, for_understanding

TEXTS = ["the cat sat on the mat", "a dog", "", "the dog ran to the cat and the cat ran from the dog"] * 3
FULL = [text for text in TEXTS[:4] if text]  # of an empty second text BERT's post-processor makes none
PAIRS = [(first, second) for first in FULL for second in FULL]


@pytest.fixture(scope="module")
def own() -> JsonTokenizer:
    found = tokenizers.train(TEXTS, kind="byte_bpe", vocabulary_size=400, special=for_understanding("byte_bpe"))
    assert isinstance(found, JsonTokenizer)
    return found


def with_processor(own: JsonTokenizer, folder: Path, family: str) -> Path:
    """The vocabulary with the post-processor of another family."""
    own.save(folder)
    cls, sep = ("[CLS]", own.cls_id), ("[SEP]", own.sep_id)
    if family == "roberta":
        processor = processors.RobertaProcessing(sep, cls, add_prefix_space=False)
    elif family == "xlnet":
        processor = processors.TemplateProcessing(
            single="$A:0 [SEP]:0 [CLS]:2", pair="$A:0 [SEP]:0 $B:1 [SEP]:1 [CLS]:2", special_tokens=[cls, sep]
        )
    else:
        processor = processors.BertProcessing(sep, cls)
    backend = PreTrainedTokenizerFast.from_pretrained(folder).backend_tokenizer
    backend.post_processor = processor
    (folder / "tokenizer.json").write_text(backend.to_str())
    return folder


@pytest.mark.parametrize("family", ["bert", "roberta", "xlnet"])
@pytest.mark.parametrize("longest", [None, 5, 6, 8, 11, 12])
def test_rows_are_those_of_transformers(own: JsonTokenizer, tmp_path: Path, family: str, longest: int | None) -> None:
    folder = with_processor(own, tmp_path, family)
    ours, theirs = tokenizers.load(folder), PreTrainedTokenizerFast.from_pretrained(folder)
    options: dict[str, Any] = {"return_token_type_ids": True}
    if longest is not None:
        options |= {"truncation": "longest_first", "max_length": longest}
    for text, row in zip(TEXTS, ours.encode_joined(TEXTS, longest), strict=True):
        expected = theirs(text, **options)
        assert (row.ids, row.types) == (expected["input_ids"], expected["token_type_ids"])
    for pair, row in zip(PAIRS, ours.encode_joined(PAIRS, longest), strict=True):
        expected = theirs(*pair, **options)
        assert (row.ids, row.types) == (expected["input_ids"], expected["token_type_ids"])


def test_offsets_and_sides_lead_back_to_the_texts(own: JsonTokenizer) -> None:
    pair = ("the cat", "a dög ran")
    (row,) = own.encode_joined([pair], offsets=True)
    assert [own.token(id) for id, side in zip(row.ids, row.sides, strict=True) if side is None] == [
        "[CLS]",
        "[SEP]",
        "[SEP]",
    ]
    for side, text in enumerate(pair):
        places = [place for place, own_side in zip(row.offsets, row.sides, strict=True) if own_side == side]
        assert (places[0][0], places[-1][1]) == (0, len(text))
    assert own.encode_joined([pair])[0].offsets == []


def test_a_text_that_names_a_special_token_is_only_text(own: JsonTokenizer) -> None:
    (row,) = own.encode_joined(["[SEP]"])
    assert row.ids.count(own.sep_id) == 1


@pytest.mark.parametrize("first", range(7))
@pytest.mark.parametrize("second", range(7))
def test_what_is_kept_fills_the_room_and_the_shorter_text_gives_up_no_more_than_it_must(
    first: int, second: int
) -> None:
    for room in range(1, 14):
        kept = cut_longest_first([first, second], room)
        assert sum(kept) == min(room, first + second)
        assert all(0 <= part <= whole for part, whole in zip(kept, (first, second), strict=True))
        shorter = 0 if first <= second else 1
        assert kept[shorter] == (first, second)[shorter] or kept[shorter] >= room // 2


def test_a_row_without_room_for_text_is_refused(own: JsonTokenizer) -> None:
    with pytest.raises(DataError, match="at least 4 tokens"):
        own.encode_joined([("a", "b")], 3)


def test_a_vocabulary_for_understanding_has_all_that_objectives_and_tasks_need(own: JsonTokenizer) -> None:
    assert None not in (own.cls_id, own.sep_id, own.mask_id, own.eos_id, own.pad_id)
    assert [own.id(token) for token in SENTINELS] == list(range(own.id(SENTINELS[0]), own.id(SENTINELS[0]) + 100))
    assert (own.prefix_ids, own.suffix_ids) == ([own.cls_id], [own.sep_id])
    assert json.loads(own.files()["tokenizer_config.json"])["mask_token"] == "[MASK]"
    with pytest.raises(ConfigError, match="masks are for a vocabulary"):
        checked(PrepareConfig(masks=True, kind="character"))


def test_a_file_that_cuts_and_fills_texts_does_so_no_longer(own: JsonTokenizer, tmp_path: Path) -> None:
    """The files of sentence encoders do; how much is read is the model's to say."""
    own.save(tmp_path)
    backend = PreTrainedTokenizerFast.from_pretrained(tmp_path).backend_tokenizer
    backend.enable_truncation(4)
    backend.enable_padding(length=16)
    (tmp_path / "tokenizer.json").write_text(backend.to_str())
    found = tokenizers.load(tmp_path)
    assert found.encode(TEXTS[3]) == own.encode(TEXTS[3])
    assert found.encode_joined(PAIRS, 9) == own.encode_joined(PAIRS, 9)
    assert (found.prefix_ids, found.suffix_ids) == ([own.cls_id], [own.sep_id])
