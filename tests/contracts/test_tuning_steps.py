"""What went wrong elsewhere in the steps of tuning, held against every method; each of these is seen to fail.

The bugs: the mean over micro-batches in the place of that over tokens (transformers #34191, #35438, #35651; a partial
window: ms-swift #10084), a batch whose rows are not what they are alone (unsloth #3699, nnsight #673), an order of
examples that repeats (accelerate #2016, pytorch #5059).
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.contracts.adapter_cases import CASES, AdapterCase, randomise
from trivium.adapters.attach import adapter_parameters, attach
from trivium.adapters.beginning import begin_active, prefix_tokens
from trivium.data.batches import CausalBatch
from trivium.data.examples import Example, ExamplesSource
from trivium.data.poisson import PoissonExamples
from trivium.data.resumable import BatchSource
from trivium.data.task_mixture import Batching, MixedExamplesSource
from trivium.lm.local import LocalModel
from trivium.nn.quantized import quantise_linears
from trivium.objectives.causal import causal
from trivium.objectives.loss import Loss
from trivium.recipes.prompted import prompted
from trivium.training.gradients import backward

VOCABULARY, CONTEXT = 23, 9
LOSS = prompted(causal)
ONE_OF_A_METHOD = {case.method: case for case in CASES if case.tracer in ("gpt2", "llama")}.values()
every_method = pytest.mark.parametrize("case", ONE_OF_A_METHOD, ids=lambda case: case.label)


def tuned(case: AdapterCase, *, packed: bool = False) -> nn.Module:
    """The tracer with an adapter that says something; a LoRA's base may be in 4 bits."""
    model = case.model.build()
    if packed:
        quantise_linears(model)
    attach(model, "mine", case.config)
    randomise(model, "mine")
    return model


def examples(count: int) -> list[Example]:
    """Of unequal lengths, prompts and answers alike."""
    return [Example.of([2 + n % 5] * (1 + n % 3), [7 + n % 16] * (1 + 5 * n % 6), end_id=1) for n in range(count)]


def batch() -> CausalBatch:
    """Five rows of unequal lengths, one of them of two texts."""
    sizes = ((4, 5), (3, 5), (5, 2), (1, 5), (2, 2), (3, 2))
    chosen = [Example.of([2 + n] * prompt, [9 + n] * answer, end_id=1) for n, (prompt, answer) in enumerate(sizes)]
    found = next(ExamplesSource(chosen, vocabulary_size=VOCABULARY, context_tokens=CONTEXT, rows=5))
    assert found.segments is not None and len(set(found.lengths.tolist())) > 1
    return found


def begun(model: nn.Module, rows: int, columns: int) -> dict[str, Any]:
    """What a pass begins with where the adapter stands before the text."""
    return {"state": begin_active(model, [None] * rows, columns)} if prefix_tokens(model) else {}


def texts(whole: CausalBatch) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Tokens, targets and marks of each text of a packed batch."""
    assert whole.segments is not None
    for row, segments in enumerate(whole.segments):
        for segment in range(int(segments.max()) + 1):
            own = segments == segment
            yield whole.tokens[row, own], whole.targets[row, own], whole.mask[row, own]


def nll_alone(model: nn.Module, tokens: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Of each trained token of a text, read by itself."""
    hidden = model(tokens[None], **begun(model, 1, len(tokens))).hidden[0]
    return -model.head.logits(hidden).log_softmax(-1).gather(-1, targets[:, None])[mask, 0]


# Accumulation -------------------------------------------------------------------------------------------------------


def gradients(model: nn.Module, parameters: Sequence[nn.Parameter], whole: CausalBatch) -> tuple[Tensor, ...]:
    """Those of the mean over all trained tokens of the batch, each text read by itself."""
    found = torch.autograd.grad(torch.cat([nll_alone(model, *text) for text in texts(whole)]).mean(), parameters)
    assert max(gradient.abs().max() for gradient in found) > 1e-4
    return found


def check_window(parameters: Sequence[nn.Parameter], losses: Sequence[Loss], expected: Sequence[Tensor]) -> None:
    """What a window of micro-batches leaves are these gradients, to 1e-10 in fp64."""
    backward(iter(losses), parameters, None)
    for parameter, gradient in zip(parameters, expected, strict=True):
        assert (parameter.grad - gradient).abs().max() < 1e-10
        parameter.grad = None


@every_method
def test_accumulation_is_exact(case: AdapterCase) -> None:
    """1, 2 and 4 micro-batches of 5 rows: a partial window."""
    model = tuned(case)
    parameters = list(adapter_parameters(model, "mine").values())
    whole = batch()
    expected = gradients(model, parameters, whole)
    for parts in (1, 2, 4):
        losses = [LOSS(model, part) for part in whole.split(parts)]
        check_window(parameters, losses, expected)
    # The bug: each micro-batch counts as much as any other, however many tokens are learnt in it.
    losses = [LOSS(model, part) for part in whole.split(4)]
    means = [replace(loss, total=loss.total / loss.count, count=torch.ones(())) for loss in losses]
    with pytest.raises(AssertionError):
        check_window(parameters, means, expected)


def test_accumulation_is_exact_over_a_base_in_4_bits() -> None:
    case = next(case for case in CASES if (case.tracer, case.method) == ("llama", "LoRA"))
    model = tuned(case, packed=True)
    parameters = list(adapter_parameters(model, "mine").values())
    whole = batch()
    check_window(parameters, [LOSS(model, part) for part in whole.split(4)], gradients(model, parameters, whole))


# Rows of a batch ----------------------------------------------------------------------------------------------------


def check_alone(model: nn.Module, tokens: Tensor, lengths: Sequence[int], hidden: Tensor) -> None:
    """Each of the rows is what it is by itself."""
    for row, length in enumerate(lengths):
        alone = model(tokens[row : row + 1, :length], **begun(model, 1, length)).hidden[0]
        assert (hidden[row, :length] - alone).abs().max() < 1e-10, row


@every_method
@torch.no_grad()
def test_32_rows_of_mixed_lengths_are_what_they_are_alone(case: AdapterCase) -> None:
    """Also the tokens that are written after them: positions are a row's own."""
    model = tuned(case).eval()
    torch.manual_seed(1)
    lengths = (torch.arange(32) % 7 + 1).tolist()
    tokens = torch.randint(VOCABULARY, (32, 7))
    hidden = model(tokens, lengths=torch.tensor(lengths), **begun(model, 32, 7)).hidden
    check_alone(model, tokens, lengths, hidden)
    asked = [tokens[row, :length].tolist() for row, length in enumerate(lengths)]
    writer = LocalModel(model, None)
    together = writer.generate(asked, max_new_tokens=2, temperature=0)
    for row in (0, 13, 31):
        (alone,) = writer.generate([asked[row]], max_new_tokens=2, temperature=0)
        assert alone.token_ids == together[row].token_ids
        assert alone.logprobs == pytest.approx(together[row].logprobs, abs=1e-9)
    # The bug: rows padded on the left, which share positions and see the padding.
    left = torch.stack([torch.cat([tokens[row, n:], tokens[row, :n]]) for row, n in enumerate(lengths)])
    shifted = model(left, **begun(model, 32, 7)).hidden
    with pytest.raises(AssertionError):
        check_alone(model, tokens, lengths, torch.stack([h.roll(n, 0) for h, n in zip(shifted, lengths, strict=True)]))


# The order of the examples ------------------------------------------------------------------------------------------

SIZES: dict[str, Any] = {"vocabulary_size": VOCABULARY, "context_tokens": CONTEXT, "rows": 8}


def mixed(tasks: dict[str, list[Example]], **of_process: int) -> MixedExamplesSource:
    return MixedExamplesSource(tasks, dict.fromkeys(tasks, 1.0), Batching(**SIZES, **of_process))


SOURCES: dict[str, Callable[..., BatchSource[CausalBatch]]] = {
    "plain": lambda **of_process: ExamplesSource(examples(60), **SIZES, **of_process),
    "mixed": lambda **of_process: mixed({"a": examples(60)[:40], "b": examples(60)[40:]}, **of_process),
    "mixed of one": lambda **of_process: mixed({"a": examples(60)}, **of_process),
}


def check_order(batches: Sequence[CausalBatch]) -> None:
    """No batch comes twice: passes differ, and processes do."""
    seen = [tuple(map(tuple, batch.tokens.tolist())) for batch in batches]
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES)
def test_passes_and_processes_draw_differently_and_a_resumed_one_goes_on(make: Callable[..., Any]) -> None:
    """Three passes; a state taken at any batch, those at the ends of passes among them, goes on with the next."""
    first, second = (make(rank=rank, world=2) for rank in (0, 1))
    batches, states = [], []
    for _ in range(24):
        states.append(copy.deepcopy(first.state_dict()))
        batches.append(next(first))
    check_order([*batches, *(next(second) for _ in range(24))])
    for at, state in enumerate(states):
        resumed = make(rank=0, world=2)
        resumed.load_state_dict(state)
        assert torch.equal(next(resumed).tokens, batches[at].tokens)
    # The bug: the resumed run begins with the order of the first pass.
    anew = make(rank=0, world=2)
    with pytest.raises(AssertionError):
        check_order([*batches[:12], *(next(anew) for _ in range(12))])


def test_private_draws_are_not_repeated() -> None:
    """They come from the system's own randomness: two sources of one run draw apart."""
    one, two = (PoissonExamples(examples(60), **SIZES) for _ in range(2))
    drawn = [[next(source).rows for _ in range(30)] for source in (one, two)]
    assert drawn[0] != drawn[1] and len(set(drawn[0])) > 1
