"""What went wrong elsewhere in the data of tuning, held against ours; and each of these tests is seen to fail.

The bugs: an end token masked because the vocabulary pads with it (trl #1623, again #3091), two BOS (sglang #888,
OpenRLHF #393), ids in training other than in use (alignment-handbook #127), packed texts that see each other (trl
#1230, functionary #265). A check is a function here; it passes on what the recipes make, and fails on the bug put back.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from tests.lm.small import network
from tests.templates.dialects import TEMPLATES, tokenizer_of
from trivium import tokenizers
from trivium.data.batches import CausalBatch
from trivium.data.example_forms import Record
from trivium.data.examples import Example, ExamplesSource
from trivium.data.task_mixture import Batching, MixedExamplesSource
from trivium.lm.chat import chat_prompt
from trivium.lm.local import LocalModel
from trivium.recipes.examples import encode_record
from trivium.templates.instruction import chat_instruction, plain_instruction
from trivium.tokenizers import JsonTokenizer

OWN = tokenizers.train(["What is two and two? It is four."] * 4, vocabulary_size=300)
ALL = {
    **{name: tokenizer_of(name) for name in TEMPLATES},
    **{f"{name}-no-bos": tokenizer_of(name, adds_bos=False) for name in ("llama3", "chatml")},
    "own": OWN,
}
WORDS = ("two", "and two", "What is it?", "It is four.\n\n", "<s>", "<|end_of_text|>", "</s> <bos>", "é €", "four " * 5)
SPECIAL_IN_TEXT = "<s></s><bos><eos><|begin_of_text|><|im_end|><|bos|>"


def records(form: str) -> list[Record]:
    """Examples of one form, with special tokens spelt out in their texts."""
    answers = (*WORDS, SPECIAL_IN_TEXT)
    pairs = [(a, answers[(place + step) % len(answers)]) for place, a in enumerate(WORDS) for step in (1, 4)]
    if form == "text":
        return [Record(form="text", completion=a + b) for a, b in pairs]
    if form == "messages":
        turns = [[("user", a), ("assistant", b), ("user", b), ("assistant", a)] for a, b in pairs]
        return [
            Record(form="messages", messages=tuple({"role": role, "content": text} for role, text in talk))
            for talk in turns
        ]
    if form == "instruction":
        return [Record(form="instruction", prompt=a, given=b, completion=a) for a, b in pairs]
    return [Record(form="pair", prompt=a, completion=b) for a, b in pairs]


PATHS = [("messages", "chat"), ("pair", "chat"), ("instruction", "chat"), ("pair", "plain"), ("instruction", "plain")]
PATHS += [("text", "plain"), ("text", "chat")]


def encoded(tokenizer: JsonTokenizer, form: str, prompt_format: Any) -> list[Example]:
    return [encode_record(tokenizer, r, prompt_format=prompt_format, answers="last") for r in records(form)]


every_tokenizer = pytest.mark.parametrize("tokenizer", ALL.values(), ids=ALL)
every_path = pytest.mark.parametrize(("form", "prompt_format"), PATHS, ids=["-".join(path) for path in PATHS])


# The end is learnt --------------------------------------------------------------------------------------------------


def check_ends(examples: Sequence[Example], batches: Sequence[CausalBatch], ends: set[int]) -> None:
    """Every example ends in a token of the vocabulary that ends a text, and every one of these is a target."""
    assert all(example.ids[-1] in ends and example.trained[-1] for example in examples)
    targets = torch.cat([batch.targets[batch.mask] for batch in batches]).tolist()
    assert sum(target in ends for target in targets) >= len(examples)
    wanted = sorted(i for example in examples for i, t in zip(example.ids, example.trained, strict=True) if t)
    assert sorted(targets) == wanted


def one_pass(examples: Sequence[Example], vocabulary_size: int) -> list[CausalBatch]:
    source = ExamplesSource(examples, vocabulary_size=vocabulary_size, context_tokens=400, rows=1)
    return [next(source) for _ in range(round(source.batches_per_epoch))]


@every_tokenizer
@every_path
def test_every_end_token_is_learnt(tokenizer: JsonTokenizer, form: str, prompt_format: str) -> None:
    examples = encoded(tokenizer, form, prompt_format)
    ends = {i for i in tokenizer.special_tokens.values() if i != tokenizer.bos_id}
    batches = one_pass(examples, tokenizer.vocabulary_size)
    check_ends(examples, batches, ends)
    # The bug: what equals the id of padding is no target.
    masked = [replace(batch, mask=batch.mask & (batch.targets != examples[0].ids[-1])) for batch in batches]
    with pytest.raises(AssertionError):
        check_ends(examples, masked, ends)


def test_a_mixture_learns_every_end_too() -> None:
    tokenizer = ALL["mistral"]
    assert tokenizer.pad_id == tokenizer.eos_id
    tasks = {"chat": encoded(tokenizer, "pair", "chat"), "plain": encoded(tokenizer, "pair", "plain")}
    size = tokenizer.vocabulary_size
    rates = {"chat": 1.0, "plain": 1.0}
    source = MixedExamplesSource(tasks, rates, Batching(vocabulary_size=size, context_tokens=512, rows=2))
    for _ in range(8):
        batch = next(source)
        assert batch.segments is not None
        for row in range(2):
            segments = int(batch.segments[row].max()) + 1
            learnt = batch.targets[row][batch.mask[row]].tolist()
            assert learnt.count(tokenizer.eos_id) == segments  # one for each text of the row


# One BOS ------------------------------------------------------------------------------------------------------------


def check_one_bos(example: Example, bos: int, count: int) -> None:
    """So many BOS, at the very beginning."""
    assert list(example.ids).count(bos) == count and list(example.ids[:count]) == [bos] * count


def asks_for_bos(tokenizer: JsonTokenizer, form: str, prompt_format: str) -> bool:
    """A document always begins with it; a conversation where its template or the file says so; a prompt where the
    file does."""
    if form == "text":
        return True
    if prompt_format == "plain":
        return tokenizer.bos_id in tokenizer.prefix_ids
    return tokenizer.bos_id in tokenizer.prefix_ids or tokenizer.chat_template != TEMPLATES["chatml"]


@every_tokenizer
@every_path
def test_there_is_one_bos(tokenizer: JsonTokenizer, form: str, prompt_format: str) -> None:
    assert tokenizer.bos_id is not None
    count = int(asks_for_bos(tokenizer, form, prompt_format))
    for example in encoded(tokenizer, form, prompt_format):
        check_one_bos(example, tokenizer.bos_id, count)
    twice = replace(example, ids=[tokenizer.bos_id, *example.ids], trained=[False, *example.trained])
    with pytest.raises(AssertionError):
        check_one_bos(twice, tokenizer.bos_id, count)


# As it is used ------------------------------------------------------------------------------------------------------


def served(tokenizer: JsonTokenizer, model: LocalModel, record: Record, prompt_format: str) -> list[int]:
    """The ids that a model which is asked the same goes on from: `chat`'s, or `generate`'s."""
    if prompt_format == "plain":
        is_pair = record.form == "pair"
        return model.prompt_ids(record.prompt if is_pair else plain_instruction(record.prompt, record.given))
    messages = list(record.messages[:-1])
    if record.form != "messages":
        asked = chat_instruction(record.prompt, record.given) if record.form == "instruction" else record.prompt
        messages = [{"role": "user", "content": asked}]
    return chat_prompt(tokenizer, messages)[0]


def check_as_served(example: Example, prompt: list[int]) -> None:
    """It begins with the ids that the model is asked with, and what is learnt begins right after them."""
    assert list(example.ids[: len(prompt)]) == prompt
    assert list(example.trained) == [False] * len(prompt) + [True] * (len(example.ids) - len(prompt))


@every_tokenizer
@pytest.mark.parametrize(("form", "prompt_format"), PATHS[:5], ids=["-".join(path) for path in PATHS[:5]])
def test_training_reads_the_ids_that_use_does(tokenizer: JsonTokenizer, form: str, prompt_format: str) -> None:
    model = LocalModel(network("gpt2", tokenizer.vocabulary_size), tokenizer)
    for record in records(form)[::3]:
        example = encode_record(tokenizer, record, prompt_format=prompt_format, answers="last")
        prompt = served(tokenizer, model, record, prompt_format)
        check_as_served(example, prompt)
    with pytest.raises(AssertionError):
        check_as_served(replace(example, ids=[*example.ids[:-2], 0, 0][::-1]), prompt)
    with pytest.raises(AssertionError):
        check_as_served(example, prompt[:-1])


@every_tokenizer
def test_an_empty_prompt_is_what_generate_makes_of_it(tokenizer: JsonTokenizer) -> None:
    model = LocalModel(network("gpt2", tokenizer.vocabulary_size), tokenizer)
    example = encode_record(tokenizer, Record(form="pair", completion="two"), prompt_format="plain", answers="last")
    check_as_served(example, model.prompt_ids(""))


# Packed as alone ----------------------------------------------------------------------------------------------------


def losses(model: nn.Module, batches: Sequence[CausalBatch]) -> dict[tuple[int, ...], float]:
    """Of every trained token: what its text was up to it, and its negative log-likelihood."""
    found = {}
    for batch in batches:
        hidden = model(batch.tokens, lengths=batch.lengths, segments=batch.segments).hidden
        nll = -model.head.logits(hidden).log_softmax(-1).gather(-1, batch.targets[..., None])[..., 0]
        for row, column in batch.mask.nonzero().tolist():
            found[_read(batch, row, column)] = float(nll[row, column])
    return found


def _read(batch: CausalBatch, row: int, column: int) -> tuple[int, ...]:
    tokens, begin = batch.tokens[row].tolist(), 0
    if batch.segments is not None:
        segments = batch.segments[row].tolist()
        begin = segments.index(segments[column])
    return (*tokens[begin : column + 1], int(batch.targets[row, column]))


@pytest.mark.parametrize("name", ["gpt2", "llama", "lstm"])
@torch.no_grad()
def test_a_packed_token_costs_what_it_costs_alone(name: str) -> None:
    pairs = [("two", "four"), ("and", "It is."), ("What is two?", "four"), ("It", "is"), ("a", "b"), ("x", "four two")]
    chosen = [Record(form="pair", prompt=a, completion=b) for a, b in pairs]
    examples = [encode_record(OWN, r, prompt_format="chat", answers="last") for r in chosen]
    model = network(name, OWN.vocabulary_size)
    size = OWN.vocabulary_size
    alone = losses(model, [b for e in examples for b in _batches([e], size, max(len(e.ids) - 1, 2))])
    batches = _batches(examples, size, 40)
    assert any(batch.segments is not None for batch in batches)
    packed = losses(model, batches)
    assert packed.keys() == alone.keys()
    assert all(packed[read] == pytest.approx(alone[read], abs=1e-10) for read in alone)
    # The bug: texts of one row that see each other.
    joined = model(batches[0].tokens, lengths=batches[0].lengths, segments=None).hidden
    kept = model(batches[0].tokens, lengths=batches[0].lengths, segments=batches[0].segments).hidden
    assert (joined - kept)[batches[0].mask].abs().max() > 1e-4


def _batches(examples: Sequence[Example], vocabulary_size: int, context_tokens: int) -> list[CausalBatch]:
    source = ExamplesSource(examples, vocabulary_size=vocabulary_size, context_tokens=context_tokens, rows=1)
    return [next(source) for _ in range(round(source.batches_per_epoch))]
