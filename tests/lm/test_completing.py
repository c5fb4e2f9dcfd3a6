"""What stands between two texts: the prompt that each family learned, and where the answer ends."""

import importlib.util
import pathlib
from typing import Any

import pytest
import tokenizers as backend
import torch

from trivium.errors import Unsupported
from trivium.lm.completing import marks_of, middle_ends, middle_prompt
from trivium.lm.local import LocalModel
from trivium.objectives.fill_in_the_middle import Sentinels, arranged
from trivium.tokenizers import JsonTokenizer, SpecialTokens, train
from trivium.tokenizers.special import FILL_IN_THE_MIDDLE

_spec = importlib.util.spec_from_file_location("small", pathlib.Path(__file__).with_name("small.py"))
small = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(small)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    special = SpecialTokens(others=FILL_IN_THE_MIDDLE)
    return train(small.TEXTS, kind="byte_bpe", vocabulary_size=290, special=special)


@pytest.fixture(scope="module", params=["llama", "lstm"])
def model(request: pytest.FixtureRequest, tokenizer: Any) -> LocalModel:
    return LocalModel(small.network(request.param, tokenizer.vocabulary_size), tokenizer)


def words(*special: str) -> JsonTokenizer:
    """Whole words, as a vocabulary that knows these marks."""
    known = ["[UNK]", "a", "b", "c", *special]
    made = backend.Tokenizer(backend.models.WordLevel({word: i for i, word in enumerate(known)}, unk_token="[UNK]"))
    made.pre_tokenizer = backend.pre_tokenizers.Whitespace()
    made.add_special_tokens(list(special))
    return JsonTokenizer(made, {})


PUBLISHED = {
    "Qwen2.5-Coder": (("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"), ("<|endoftext|>", "<|fim_pad|>")),
    "CodeGemma": (("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"), ("<|file_separator|>",)),
    "StarCoder": (("<fim_prefix>", "<fim_suffix>", "<fim_middle>"), ("<|endoftext|>",)),
    "SantaCoder": (("<fim-prefix>", "<fim-suffix>", "<fim-middle>"), ("<|endoftext|>",)),
    "Code Llama": (("▁<PRE>", "▁<SUF>", "▁<MID>"), ("▁<EOT>",)),
    "DeepSeek-Coder": (("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"), ("<|EOT|>",)),
}


@pytest.mark.parametrize(("marks", "ends"), PUBLISHED.values(), ids=PUBLISHED.keys())
def test_published_marks(marks: tuple[str, ...], ends: tuple[str, ...]) -> None:
    """Prefix, suffix and middle each after their mark, and an end after which nothing is written."""
    vocabulary = words(*marks, *ends)
    before, behind, between = (vocabulary.id(mark) for mark in marks)
    a, b, c = (vocabulary.id(word) for word in "abc")
    assert middle_prompt(vocabulary, "a b", "c") == [before, a, b, behind, c, between]
    assert set(middle_ends(vocabulary, (1,))) == {1, before, behind, between, *map(vocabulary.id, ends)}
    assert marks_of(words(*marks[:2], *ends)) is None


def test_a_suffix_of_code_llama_begins_in_the_middle_of_a_text() -> None:
    """Where a vocabulary puts a space before a text, the suffix has none that is not its own."""
    pieces = [("<unk>", 0.0), ("▁", -1.0), ("a", -2.0), ("▁a", -1.5), ("\n", -3.0)]
    made = backend.Tokenizer(backend.models.Unigram(pieces, 0))
    made.pre_tokenizer = backend.pre_tokenizers.Metaspace(prepend_scheme="always")
    marks = ["▁<PRE>", "▁<SUF>", "▁<MID>"]
    made.add_special_tokens(marks)
    vocabulary = JsonTokenizer(made, {})
    before, behind, between = (vocabulary.id(mark) for mark in marks)
    assert vocabulary.encode("a") == [3]
    assert middle_prompt(vocabulary, "a", "a") == [before, 3, behind, 2, between]
    assert middle_prompt(vocabulary, "a", " a") == [before, 3, behind, 3, between]


def test_the_prompt_is_what_our_objective_trains_on(tokenizer: Any) -> None:
    sentinels = Sentinels(**{name.split("_")[1][:-2]: tokenizer.id(name) for name in FILL_IN_THE_MIDDLE})
    ids = [tokenizer.encode(text) for text in ("the ", "", " ran")]
    wanted = [*tokenizer.prefix_ids, *arranged(*ids, sentinels, "prefix-suffix-middle").tolist()]
    assert middle_prompt(tokenizer, "the ", " ran") == wanted


def test_a_middle_is_generated_and_ends(model: LocalModel, tokenizer: Any) -> None:
    prompt = middle_prompt(tokenizer, "the cat", "the dog")
    (plain,) = model.generate([prompt], max_new_tokens=12)
    whole = model.complete("the cat", "the dog", max_new_tokens=12)
    assert whole == tokenizer.decode(plain.token_ids)
    ends = middle_ends(tokenizer, ())
    assert tokenizer.eos_id in ends and tokenizer.id("<|fim_suffix|>") in ends
    mark = torch.nn.functional.one_hot(torch.tensor(tokenizer.id("<|fim_prefix|>")), tokenizer.vocabulary_size)
    silent = model.network.head.register_forward_hook(lambda *given: given[-1] + 1e3 * mark)  # it says nothing else
    with silent:
        (ended,) = model.completions([("the cat", "the dog")], max_new_tokens=12)
    assert (ended.text, ended.finish_reason, len(ended.token_ids)) == ("", "stop", 1)


def test_settings_are_those_of_generate(model: LocalModel, tokenizer: Any) -> None:
    pairs = [("the", "cat"), ("a dog", "ran")]
    several = model.completions(pairs, max_new_tokens=5, n=2, temperature=1.0, seed=3)
    prompts = [middle_prompt(tokenizer, *pair) for pair in pairs]
    expected = model.generate(prompts, max_new_tokens=5, n=2, temperature=1.0, seed=3)
    for ours, theirs in zip(several, expected, strict=True):
        assert ours.token_ids == theirs.token_ids[: len(ours.token_ids)]  # or ended before


def test_without_marks_there_is_no_middle() -> None:
    tokenizer = small.byte_tokenizer()
    model = LocalModel(small.network("llama", tokenizer.vocabulary_size), tokenizer)
    assert "complete" not in model.capabilities
    with pytest.raises(Unsupported, match="cannot complete"):
        model.complete("the", "cat")
    assert "complete" in LocalModel(small.network("llama", 290), words_like(290)).capabilities


def words_like(size: int) -> JsonTokenizer:
    return train(small.TEXTS, kind="byte_bpe", vocabulary_size=size, special=SpecialTokens(others=FILL_IN_THE_MIDDLE))
