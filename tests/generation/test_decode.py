"""The exactness law for decoding, in fp64: alone = batched = ragged, compacted or not, cached = uncached."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from tests.generation.small import PROMPTS, SHAPES, V, build, start_of
from trivium.errors import ConfigError, DataError, NonFiniteError
from trivium.generation.decode import decode
from trivium.generation.request import Request, requests
from trivium.generation.settings import GenerationSettings
from trivium.models import architecture


@pytest.fixture(params=SHAPES)
def model(request: pytest.FixtureRequest) -> nn.Module:
    return build(request.param)


def run(model: nn.Module, prompts: list[list[int]], **fields: Any) -> list[Request]:
    settings = GenerationSettings(**{"max_new_tokens": 9, **fields})
    asked = requests(prompts, settings)
    for _ in decode(model, asked, start_id=start_of(model)):
        pass
    return asked


def ids(answers: list[Request]) -> list[list[int]]:
    return [answer.token_ids for answer in answers]


@torch.inference_mode()
def uncached(model: nn.Module, prompt: list[int], steps: int) -> tuple[list[int], list[float]]:
    """Greedy decoding that reads everything again at each step."""
    start, new, log_probs = start_of(model), [], []
    for _ in range(steps):
        if start is None:
            hidden = model(torch.tensor([prompt + new])).hidden
        else:
            hidden = model(torch.tensor([[start, *new]]), state=model.encode(torch.tensor([prompt]))).hidden
        distribution = torch.log_softmax(model.head(hidden[0, -1]), -1)
        new.append(int(distribution.argmax()))
        log_probs.append(float(distribution.max()))
    return new, log_probs


def test_cached_is_uncached(model: nn.Module) -> None:
    for prompt, answer in zip(PROMPTS, run(model, PROMPTS), strict=True):
        expected, log_probs = uncached(model, prompt, 9)
        assert answer.token_ids == expected
        assert answer.log_probs == pytest.approx(log_probs, abs=1e-10)


SAMPLED = {"temperature": 0.9, "top_k": 20, "top_p": 0.95, "seed": 11}


@pytest.mark.parametrize("fields", [{}, SAMPLED], ids=["greedy", "sampled"])
def test_alone_is_batched_is_ragged(model: nn.Module, fields: dict[str, Any]) -> None:
    together = run(model, PROMPTS, **fields)
    equal_lengths = run(model, [PROMPTS[1], PROMPTS[1]], **fields)
    for prompt, answer in zip(PROMPTS, together, strict=True):
        (alone,) = run(model, [prompt], **fields)
        assert answer.token_ids == alone.token_ids
        assert answer.log_probs == pytest.approx(alone.log_probs, abs=1e-10)
    assert ids(equal_lengths) == ids(together)[1:2] * 2


def test_rows_that_end_change_nothing_for_the_others(model: nn.Module) -> None:
    free = ids(run(model, PROMPTS, **SAMPLED))
    ends = (free[0][1], free[2][4])
    answers = run(model, PROMPTS, eos_ids=ends, **SAMPLED)
    assert {answer.finish_reason for answer in answers} >= {"stop"}
    for whole, answer in zip(free, answers, strict=True):
        stops = [place for place, token in enumerate(whole) if token in ends]
        assert answer.token_ids == (whole[: stops[0] + 1] if stops else whole)
        assert answer.finish_reason == ("stop" if stops else "length")


def test_several_answers_to_a_prompt_are_prompt_major_and_differ(model: nn.Module) -> None:
    three = ids(run(model, PROMPTS[:2], n=3, **SAMPLED))
    one = ids(run(model, PROMPTS[:2], **SAMPLED))
    assert three[0::3] == one
    assert len({tuple(answer) for answer in three[:3]}) == 3
    assert ids(run(model, PROMPTS[1:2], n=2, **SAMPLED)) == three[3:5]


def test_without_a_seed_answers_follow_the_global_one(model: nn.Module) -> None:
    fields = {**SAMPLED, "seed": None}
    first = ids(run(model, [PROMPTS[0]] * 2, **fields))
    assert first[0] != first[1]
    torch.manual_seed(4)
    again = ids(run(model, [PROMPTS[0]], **fields))
    torch.manual_seed(4)
    assert ids(run(model, [PROMPTS[0]], **fields)) == again


def test_nothing_is_read_twice_and_no_padding_is_read() -> None:
    model = build("llama")
    shapes = []
    model.register_forward_pre_hook(lambda _, inputs: shapes.append(tuple(inputs[0].shape)))
    run(model, PROMPTS, max_new_tokens=3)
    assert shapes == [(1, sum(map(len, PROMPTS))), (4, 1), (4, 1)]


@pytest.mark.parametrize(
    ("prompts", "fields", "error", "message"),
    [
        ([[1], []], {}, DataError, "prompt 1 has no tokens"),
        ([[1, V]], {}, DataError, "holds an id that the model does not have"),
        ([[-1]], {}, DataError, "holds an id that the model does not have"),
        ([[1] * 30], {"max_new_tokens": 4}, ConfigError, r"learned positions[\s\S]*lower max_new_tokens by 1"),
    ],
)
def test_what_cannot_work_is_refused_before_any_work(
    prompts: list[list[int]], fields: dict[str, Any], error: type[Exception], message: str
) -> None:
    model = build("gpt2")
    model.forward = _never
    with pytest.raises(error, match=message):
        run(model, prompts, **fields)


def _never(*_: Any, **__: Any) -> None:
    raise AssertionError("the model was called")


def test_the_last_position_can_be_used() -> None:
    assert len(run(build("gpt2"), [[1] * 30], max_new_tokens=3)[0].token_ids) == 3


def test_nan_logits_are_refused() -> None:
    model = build("llama")
    model.norm.weight.data[0] = float("nan")
    with pytest.raises(NonFiniteError, match="logits are not numbers"):
        run(model, PROMPTS)


def _hf(name: str) -> Callable[[nn.Module], Any]:
    transformers = pytest.importorskip("transformers")
    kind = {"gpt2": transformers.GPT2LMHeadModel, "llama": transformers.LlamaForCausalLM}[name]

    def twin(model: nn.Module) -> Any:
        from trivium.nn.weight_map import export

        config = {**model.config.to_hf(), "bos_token_id": None, "eos_token_id": None, "pad_token_id": 0}
        theirs = kind(kind.config_class(**config)).double().eval()
        mapping = architecture(name).weight_map(model.config)
        theirs.load_state_dict(dict(export(model.state_dict(), mapping)), strict=False)
        theirs.tie_weights()
        return theirs

    return twin


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_greedy_ids_are_those_of_transformers(name: str) -> None:
    model = build(name)
    theirs = _hf(name)(model)
    width = max(map(len, PROMPTS))
    padded = torch.tensor([[0] * (width - len(prompt)) + prompt for prompt in PROMPTS])
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in PROMPTS])
    expected = theirs.generate(padded, attention_mask=mask, max_new_tokens=9, do_sample=False)[:, width:]
    assert ids(run(model, PROMPTS)) == expected.tolist()
