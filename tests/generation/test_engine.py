"""The exactness law for continuous batching, in fp64: whoever comes and goes, every request answers as if alone."""

import random
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from tests.generation.small import PROMPTS, SHAPES, V, build, start_of
from trivium.errors import ConfigError, NonFiniteError, UserError
from trivium.generation import engine as engine_module
from trivium.generation.adapting import Unadapted
from trivium.generation.decode import decode
from trivium.generation.engine import Engine
from trivium.generation.prefixes import PrefixCache
from trivium.generation.request import Request, requests
from trivium.generation.settings import Constraints, GenerationSettings
from trivium.models import architecture
from trivium.nn.state import State

SAMPLED = {"temperature": 0.9, "top_k": 20, "top_p": 0.95, "seed": 11}


@pytest.fixture(params=SHAPES)
def model(request: pytest.FixtureRequest) -> nn.Module:
    return build(request.param)


def asked(count: int = 12, seed: int = 0, longest: int = 9, eos: bool = True) -> list[Request]:
    """Unlike requests: prompts, lengths, ends, temperatures, penalties and seeds of their own."""
    chance = random.Random(seed)
    made = []
    for number in range(count):
        fields: dict[str, Any] = {"max_new_tokens": chance.randint(1, longest)}
        if eos:
            fields["eos_ids"] = tuple(chance.sample(range(V), 3))
        if number % 2:
            fields |= {"temperature": chance.choice([0.5, 1.3]), "seed": number, "top_k": chance.choice([None, 7])}
        if number % 3 == 0:
            fields["repetition_penalty"] = 1.5
        prompt = [chance.randrange(V) for _ in range(chance.randint(1, 8))]
        made += requests([prompt], GenerationSettings(**fields))
    return made


def finish(engine: Engine) -> None:
    while not engine.idle:
        engine.step()


def alone(model: nn.Module, made: list[Request]) -> list[Request]:
    for request in made:
        for _ in decode(model, [request], start_id=start_of(model)):
            pass
    return made


def assert_same(got: list[Request], expected: list[Request]) -> None:
    for ours, theirs in zip(got, expected, strict=True):
        assert ours.token_ids == theirs.token_ids
        assert ours.finish_reason == theirs.finish_reason
        assert ours.log_probs == pytest.approx(theirs.log_probs, abs=1e-10)


@pytest.mark.parametrize("read_tokens", [None, 3], ids=["read whole", "read in pieces"])
@pytest.mark.parametrize("slots", [1, 3, 12])
def test_requests_that_come_and_go_answer_as_if_alone(model: nn.Module, slots: int, read_tokens: int | None) -> None:
    expected = alone(model, asked())
    made = asked()
    engine = Engine(model, slots=slots, read_tokens=read_tokens, start_id=start_of(model))
    waiting, chance = list(made), random.Random(5)
    while waiting or not engine.idle:  # some come while others are answered
        arriving = chance.randint(0, 3)
        engine.submit(waiting[:arriving])
        waiting = waiting[arriving:]
        engine.step()
    assert_same(made, expected)


def test_no_more_rows_are_computed_than_requests_are_open() -> None:
    model = build("llama")
    made = [request for new in (2, 9, 4, 6) for request in requests([[new]], GenerationSettings(max_new_tokens=new))]
    rows = []
    model.register_forward_pre_hook(lambda _, inputs: rows.append(tuple(inputs[0].shape)))
    engine = Engine(model, slots=2)
    engine.submit(made)
    finish(engine)
    # Both slots are busy until the last answer: 2 + 9 + 4 + 6 tokens, of which 4 come of reading the prompts.
    assert rows[0] == (2, 1)
    assert sum(shape[0] * shape[1] for shape in rows) == 4 + (1 + 8 + 3 + 5)
    assert max(shape[0] for shape in rows) == 2


def test_a_long_prompt_is_read_in_pieces_while_others_go_on() -> None:
    model = build("llama")
    short, long = (requests([prompt], GenerationSettings(max_new_tokens=12))[0] for prompt in ([1, 2], [3] * 20))
    engine = Engine(model, slots=2, read_tokens=4)
    engine.submit([short])
    engine.step()
    engine.submit([long])
    grown = []
    while not long.token_ids:
        grown.append(engine.step())
    assert [step == [short] for step in grown[:-1]] == [True] * 4  # one token a step for the short one meanwhile
    assert grown[-1] == [short, long]
    finish(engine)
    again = requests([[3] * 20], GenerationSettings(max_new_tokens=12))
    assert_same([long], alone(model, again))


def test_a_cancelled_request_leaves_and_changes_nothing_for_the_others(model: nn.Module) -> None:
    expected = alone(model, asked(eos=False))
    made = asked(eos=False)
    engine = Engine(model, slots=4, start_id=start_of(model))
    engine.submit(made)
    engine.step()
    running, waiting = made[1], made[9]
    before = len(running.token_ids)
    was_open = running.finish_reason is None
    engine.cancel(running)
    engine.cancel(waiting)
    finish(engine)
    assert waiting.finish_reason == "cancelled" and waiting.token_ids == []
    if was_open:
        assert running.finish_reason == "cancelled" and len(running.token_ids) == before
    others = [number for number in range(len(made)) if number not in (1, 9)]
    assert_same([made[n] for n in others], [expected[n] for n in others])


def test_cancelling_everything_leaves_the_engine_idle_and_usable() -> None:
    model = build("gpt2")
    engine = Engine(model, slots=2, read_tokens=2)
    made = requests(PROMPTS, GenerationSettings(max_new_tokens=5))
    engine.submit(made)
    engine.step()
    for request in made:
        engine.cancel(request)
    for _ in range(10):
        engine.step()
    assert engine.idle
    after = requests(PROMPTS, GenerationSettings(max_new_tokens=5))
    engine.submit(after)
    finish(engine)
    assert_same(after, alone(model, requests(PROMPTS, GenerationSettings(max_new_tokens=5))))


def conversation(turns: int) -> list[list[int]]:
    """Prompts that each begin with the one before."""
    chance = random.Random(1)
    text, prompts = [chance.randrange(V) for _ in range(6)], []
    for _ in range(turns):
        prompts.append(list(text))
        text += [chance.randrange(V) for _ in range(3)]
    return prompts


@pytest.mark.parametrize("name", ["gpt2", "llama", "lstm"])
def test_a_prompt_that_begins_alike_is_read_from_where_it_parts(name: str) -> None:
    model = build(name)
    prompts = conversation(4)
    prompts.append([*prompts[3][:5], 0, 1, 2])  # parts in the middle
    expected = alone(model, requests(prompts, GenerationSettings(max_new_tokens=4, **SAMPLED)))
    read = []
    model.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0].numel()))
    cache = PrefixCache()
    engine = Engine(model, slots=2, prefixes=cache)
    made = requests(prompts, GenerationSettings(max_new_tokens=4, **SAMPLED))
    for request in made:  # one after the other, as in a conversation
        engine.submit([request])
        finish(engine)
    assert_same(made, expected)
    everything = sum(map(len, prompts)) + len(prompts) * 3
    assert sum(read) == everything - cache.reused_tokens
    # A recurrent state has moved on to the answer and cannot be rolled back to the prompt.
    assert cache.reused_tokens == (0 if name == "lstm" else 6 + 9 + 12 + 5)


def test_a_recurrent_model_goes_on_from_the_very_end_of_what_it_read() -> None:
    model = build("lstm")
    cache = PrefixCache()
    engine = Engine(model, prefixes=cache)
    (first,) = requests([[1, 2, 3]], GenerationSettings(max_new_tokens=4))
    engine.submit([first])
    finish(engine)
    prompt = [1, 2, 3, *first.token_ids, 7, 8]
    (second,) = requests([prompt], GenerationSettings(max_new_tokens=4))
    engine.submit([second])
    finish(engine)
    assert cache.reused_tokens == 3 + 3
    assert_same([second], alone(model, requests([prompt], GenerationSettings(max_new_tokens=4))))


def test_the_prefix_cache_keeps_to_its_room_and_to_its_adapter() -> None:
    model = build("llama")

    def state_of(ids: list[int]) -> Any:
        with torch.inference_mode():
            return model(torch.tensor([ids]), state=model.new_state(1, len(ids) + 5)).state

    cache = PrefixCache(tokens=10)
    cache.keep(None, [1, 2, 3], state_of([1, 2, 3]))
    assert cache.find("other", [1, 2, 3, 4]) == (0, None)
    assert cache.find(None, [1, 2, 3, 4])[0] == 3
    assert cache.find(None, [1, 2, 3])[0] == 2  # the last token is left to read
    assert cache.find(None, [9, 2, 3])[0] == 0
    cache.keep(None, [1, 2, 3, 4, 5], state_of([1, 2, 3, 4, 5]))  # takes the place of its own beginning
    cache.keep(None, [6, 7, 8, 9, 10], state_of([6, 7, 8, 9, 10]))
    assert cache.find(None, [1, 2, 3, 9])[0] == 3
    cache.keep(None, [11, 12], state_of([11, 12]))  # the one looked at longest ago gives way
    assert cache.find(None, [6, 7, 8])[0] == 0
    assert cache.find(None, [1, 2, 3, 9])[0] == 3
    cache.keep(None, list(range(11)), state_of(list(range(11))))
    assert cache.find(None, [0, 1, 2])[0] == 0


def test_equal_prompts_are_read_once() -> None:
    model = build("llama")
    read = []
    model.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0].numel()))
    engine = Engine(model)
    engine.submit(requests([[1, 2, 3], [4]], GenerationSettings(max_new_tokens=1, n=3, **SAMPLED)))
    engine.step()
    assert read == [4]


def test_rows_are_routed_with_the_requests_as_they_move() -> None:
    """Every forward is told the adapter of each of its rows, whoever has left."""
    model, seen = build("llama"), []

    class Watching(Unadapted):
        def routing(self, adapters: Any, segments: Any) -> Any:
            seen.append((list(adapters), segments))
            return nullcontext()

    made = [
        request
        for new, adapter in ((1, "a"), (3, "b"), (5, None))
        for request in requests([[new, 2]], GenerationSettings(max_new_tokens=new), adapter=adapter)
    ]
    engine = Engine(model, adapting=Watching(model))
    engine.submit(made)
    finish(engine)
    names = [adapters for adapters, _ in seen]
    assert names[:2] == [["a", "b", None]] * 2
    assert [None, "b"] in names  # the last row took the place of the first
    assert names[-1] == [None]


def test_slots_grow_with_what_comes(model: nn.Module) -> None:
    engine = Engine(model, slots=8, start_id=start_of(model))
    made = [*asked(2, 1, 3), *asked(5, 2, 6), *asked(8, 3, 14)]
    for some in (made[:2], made[2:7], made[7:]):
        engine.submit(some)
        engine.step()
        engine.step()
    finish(engine)
    assert_same(made, alone(model, [*asked(2, 1, 3), *asked(5, 2, 6), *asked(8, 3, 14)]))


def test_what_does_not_fit_into_memory_fails_alone() -> None:
    model = build("llama")
    before, huge, after = (
        requests([[token]], GenerationSettings(max_new_tokens=new))[0] for token, new in ((1, 5), (2, 2**45), (3, 5))
    )
    engine = Engine(model)
    engine.submit([before, huge, after])
    failed = []
    while not engine.idle:
        failed += [request for request in engine.step() if request.error is not None]
    assert failed == [huge] and huge.finish_reason == "failed"
    assert "do not fit into memory" in str(huge.error)
    assert_same([before, after], alone(model, requests([[1], [3]], GenerationSettings(max_new_tokens=5))))
    with pytest.raises(ConfigError, match="do not fit into memory"):
        alone(model, requests([[1]], GenerationSettings(max_new_tokens=2**45)))


def test_slots_that_cannot_grow_fail_the_newcomer(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build("llama")
    (running,) = requests([[5]], GenerationSettings(max_new_tokens=5))
    (late,) = requests([[4]], GenerationSettings(max_new_tokens=30))
    engine = Engine(model)
    engine.submit([running])
    engine.step()

    def full(*_: Any) -> None:
        raise RuntimeError("you tried to allocate 7 bytes")

    monkeypatch.setattr(State, "reserve", full)
    engine.submit([late])
    finish(engine)
    assert late.finish_reason == "failed" and late.token_ids == []
    assert_same([running], alone(model, requests([[5]], GenerationSettings(max_new_tokens=5))))


def test_constraints_that_leave_nothing_end_one_answer_and_no_other() -> None:
    model = build("llama")
    never = Constraints(forced=(5,), banned=tuple((5, token) for token in range(V)))
    bad, kindred = requests([[4], [6]], GenerationSettings(max_new_tokens=6, constraints=never))
    kindred.settings = replace(kindred.settings, max_new_tokens=1)  # ends before the rule bites
    good = requests([[7]], GenerationSettings(max_new_tokens=12))[0]
    engine = Engine(model, slots=3)
    engine.submit([bad, kindred, good])
    finish(engine)
    assert bad.finish_reason == "failed" and "leave no token" in str(bad.error) and bad.token_ids == [5]
    assert kindred.finish_reason == "length" and kindred.token_ids == [5]
    assert_same([good], alone(model, requests([[7]], GenerationSettings(max_new_tokens=12))))


def test_who_shares_settings_with_one_that_fails_draws_as_if_alone() -> None:
    model = build("llama")
    only_four = Constraints(banned=tuple((4, token) for token in range(V)))
    settings = GenerationSettings(max_new_tokens=8, temperature=1.2, seed=3, constraints=only_four)
    bad, good = requests([[4], [7]], settings)
    cache = PrefixCache()
    engine = Engine(model, prefixes=cache)
    engine.submit([bad, good])
    finish(engine)
    assert bad.finish_reason == "failed" and bad.token_ids == []
    assert good.finish_reason in ("length", "failed")
    lone = requests([[7]], settings)[0]
    separate = Engine(model)
    separate.submit([lone])
    finish(separate)
    assert good.token_ids == lone.token_ids
    assert cache.find(None, [4, 1])[0] == 0  # what failed is not built upon


def test_a_row_of_nan_ends_its_own_answer() -> None:
    model = build("llama")
    model.embedding.weight.data[9] = float("nan")
    bad, good = requests([[9], [7]], GenerationSettings(max_new_tokens=4))
    model.head.weight.data.nan_to_num_(0.0)
    engine = Engine(model)
    engine.submit([bad, good])
    finish(engine)
    assert isinstance(bad.error, NonFiniteError)
    assert len(good.token_ids) == 4


def test_what_an_engine_cannot_do_is_refused_when_it_is_asked() -> None:
    engine = Engine(build("gpt2"))
    good = requests([[1]], GenerationSettings(max_new_tokens=3))
    for prompt, fields, message in (
        ([], {}, "has no tokens"),
        ([V + 9], {}, "holds an id"),
        ([1] * 40, {}, "learned positions"),
        ([1], {"beams": 3}, "one answer a request"),
        ([1], {"stop": ("x",)}, "no stop text would be seen"),
    ):
        with pytest.raises(UserError, match=message):
            engine.submit([*good, *requests([prompt], GenerationSettings(max_new_tokens=3, **fields))])
    assert engine.idle and good[0].finish_reason is None  # none of them was taken
    engine.submit(good)
    finish(engine)
    assert len(good[0].token_ids) == 3
    with pytest.raises(ConfigError, match="needs a slot"):
        Engine(build("gpt2"), slots=0)


def test_a_prompt_that_is_cancelled_is_read_no_further() -> None:
    model = build("llama")
    engine = Engine(model, slots=2, read_tokens=3)
    long, short = (requests([prompt], GenerationSettings(max_new_tokens=2))[0] for prompt in ([2] * 40, [3]))
    engine.submit([long, short])
    engine.step()
    engine.cancel(long)
    read = []
    model.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0].numel()))
    finish(engine)
    assert long.token_ids == [] and sum(read) <= 3
    assert_same([short], alone(model, requests([[3]], GenerationSettings(max_new_tokens=2))))


def test_a_request_cancelled_while_others_are_read_with_it_gets_no_token() -> None:
    model = build("llama")
    engine = Engine(model, slots=2, read_tokens=4)
    first, second = requests([[1, 2, 3] * 3] * 2, GenerationSettings(max_new_tokens=3))  # read once, in three pieces
    engine.submit([first, second])
    engine.step()
    engine.cancel(second)
    finish(engine)
    assert second.token_ids == [] and second.finish_reason == "cancelled" and len(first.token_ids) == 3


def test_slots_are_no_wider_than_those_who_are_in_them() -> None:
    model = build("t5")
    engine = Engine(model, slots=4, start_id=start_of(model))
    engine.submit(requests([[1] * 300], GenerationSettings(max_new_tokens=2)))
    finish(engine)
    engine.submit(requests([[1, 2], [3]], GenerationSettings(max_new_tokens=2)))
    widths = []
    model.register_forward_pre_hook(
        lambda _, __, named: widths.append(named["state"].memory.tensors[0][0].shape[2]), with_kwargs=True
    )
    finish(engine)
    assert widths and max(widths) == 2


def test_requests_with_equal_settings_are_looked_at_together(monkeypatch: pytest.MonkeyPatch) -> None:
    model, rows, choose = build("llama"), [], engine_module.choose

    def counting(logits: Any, *rest: Any) -> Any:
        rows.append(len(logits))
        return choose(logits, *rest)

    monkeypatch.setattr(engine_module, "choose", counting)
    engine = Engine(model)
    for seed in range(4):  # as a server has them: equal, but for what the choice does not depend on
        engine.submit(requests([[seed]], GenerationSettings(max_new_tokens=1 + seed, temperature=0.9, seed=seed)))
    engine.submit(requests([[9]], GenerationSettings(max_new_tokens=1, temperature=0.5, seed=0)))
    engine.step()
    assert sorted(rows) == [1, 4]


@pytest.mark.parametrize("name", [pytest.param("gpt2", marks=pytest.mark.slow), "llama"])
def test_fp32_alone_batched_continuous_and_prefix_reused_choose_the_same(name: str) -> None:
    """200 prompts; another batch shape is another matrix kernel, so ids may part at a tie of less than 1e-4."""
    row = architecture(name)
    torch.manual_seed(1)
    model = row.model_class()(row.config_class()(vocabulary_size=V, **SHAPES[name])).eval()
    for parameter in model.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    chance = random.Random(7)
    stem = [chance.randrange(V) for _ in range(4)]
    prompts = [stem + [chance.randrange(V) for _ in range(chance.randint(1, 10))] for _ in range(200)]
    settings = GenerationSettings(max_new_tokens=6, eos_ids=(3,))
    expected = alone(model, requests(prompts, settings))

    def batched(made: list[Request]) -> None:
        for start in range(0, len(made), 16):
            for _ in decode(model, made[start : start + 16]):
                pass

    def continuous(made: list[Request]) -> None:
        engine = Engine(model, slots=16, read_tokens=32)
        engine.submit(made)
        finish(engine)

    def reused(made: list[Request]) -> None:
        engine = Engine(model, slots=16, read_tokens=32, prefixes=PrefixCache())
        engine.submit(made)
        finish(engine)

    ways: list[Callable[[list[Request]], None]] = [batched, continuous, reused]
    ties = 0
    for way in ways:
        made = requests(prompts, settings)
        way(made)
        for ours, theirs in zip(made, expected, strict=True):
            if ours.token_ids == theirs.token_ids:
                assert ours.log_probs == pytest.approx(theirs.log_probs, abs=1e-5)
            else:
                ties += 1
                assert _gap(model, theirs, ours) < 1e-4
    print(f"{ties} of {len(ways) * len(prompts)} answers part at a tie")
    assert ties <= 0.01 * len(ways) * len(prompts)


@torch.inference_mode()
def _gap(model: nn.Module, left: Request, right: Request) -> float:
    """Between the two best logits where two answers part."""
    place = next(i for i, (a, b) in enumerate(zip(left.token_ids, right.token_ids, strict=False)) if a != b)
    hidden = model(torch.tensor([left.prompt + left.token_ids[:place]])).hidden[:, -1]
    best = model.head(hidden).topk(2).values[0]
    return float(best[0] - best[1])
