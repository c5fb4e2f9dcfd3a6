"""Models with sliding windows write what they write without any cache, long after their rings went round (fp64)."""

import copy
import random
from typing import Any

import pytest
import torch
from torch import nn

from tests.generation.small import V
from trivium.adapters.attach import adapter_parameters, attach
from trivium.adapters.beginning import begin
from trivium.adapters.prefix import PrefixConfig
from trivium.adapters.routing import route
from trivium.errors import Unsupported
from trivium.generation.decode import decode
from trivium.generation.engine import Engine
from trivium.generation.prefixes import PrefixCache
from trivium.generation.reading import Begin
from trivium.generation.request import Request, requests
from trivium.generation.search.beam import beam_search
from trivium.generation.search.contrastive import contrastive_search
from trivium.generation.search.hypothesis import completed
from trivium.generation.settings import GenerationSettings, Search
from trivium.generation.speculation import MOST_AHEAD, ModelDraft, PromptLookup, speculate
from trivium.models import architecture
from trivium.nn.ring import SLACK, WindowCache
from trivium.nn.state import State

SHAPE = {"width": 24, "heads": 4, "key_value_heads": 2, "inner_width": 40, "window_tokens": 5}
SHAPES: dict[str, dict[str, Any]] = {
    "mistral": SHAPE | {"layers": 2},
    "gemma2": SHAPE | {"layers": 3, "head_width": 6},  # of every two layers one sees everything
}
LONG = 5 + SLACK + 30  # tokens, and the ring has gone round


@pytest.fixture(params=SHAPES, scope="module")
def model(request: pytest.FixtureRequest) -> nn.Module:
    row = architecture(request.param)
    torch.manual_seed(3)
    model = row.model_class()(row.config_class()(vocabulary_size=V, **SHAPES[request.param])).double().eval()
    for parameter in model.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return model


def prompts(*lengths: int) -> list[list[int]]:
    chance = random.Random(len(lengths))
    return [[chance.randrange(V) for _ in range(length)] for length in lengths]


@torch.inference_mode()
def without_a_cache(model: nn.Module, prompt: list[int], new: int) -> list[int]:
    text = list(prompt)
    for _ in range(new):
        text.append(int(model.head(model(torch.tensor([text])).hidden[:, -1]).argmax()))
    return text[len(prompt) :]


def finish(engine: Engine, made: list[Request]) -> None:
    engine.submit(made)
    while not engine.idle:
        engine.step()


def test_memory_does_not_grow_with_the_text(model: nn.Module) -> None:
    sizes = [model.new_state(2, capacity).layers[0].keys.shape[2] for capacity in (10, 100, 100_000)]
    assert sizes == [10, 5 + SLACK, 5 + SLACK]
    assert isinstance(model.new_state(2, 10).layers[0], WindowCache)
    assert MOST_AHEAD < SLACK + 1  # guesses and the token before them are read at once, and taken back


def test_prompts_long_and_short_in_pieces_and_side_by_side(model: nn.Module) -> None:
    texts = prompts(LONG, 3, 20, 21, 1, 2 * LONG)
    news = [4, LONG, 12, 30, 25, 2]
    expected = [without_a_cache(model, text, new) for text, new in zip(texts, news, strict=True)]
    for slots, read_tokens in ((6, None), (2, 7), (3, 40)):
        made = [requests([t], GenerationSettings(max_new_tokens=n))[0] for t, n in zip(texts, news, strict=True)]
        finish(Engine(model, slots=slots, read_tokens=read_tokens), made)
        assert [request.token_ids for request in made] == expected


def test_a_short_text_makes_room_for_a_long_one(model: nn.Module) -> None:
    """The first requests' rings are short, and grow when others come."""
    texts = prompts(2, 3, LONG)
    first, second, third = (
        requests([text], GenerationSettings(max_new_tokens=new))[0]
        for text, new in zip(texts, (9, 40, 30), strict=True)
    )
    engine = Engine(model, slots=3)
    engine.submit([first])
    engine.step()
    engine.submit([second])
    engine.step()
    finish(engine, [third])
    for request, text in zip((first, second, third), texts, strict=True):
        assert request.token_ids == without_a_cache(model, text, len(request.token_ids))


def test_what_was_read_before_is_read_again_only_where_it_is_lost(model: nn.Module) -> None:
    cache, (begin,) = PrefixCache(), prompts(LONG)
    begun = [*begin, 1, 2, 3]
    for prompt in (begin, begun, [*begun[:-9], 4, 4], [*begin[:12], 7], [*begin[:15], 7, 8], begun):
        (request,) = requests([prompt], GenerationSettings(max_new_tokens=6))
        finish(Engine(model, prefixes=cache), [request])
        assert request.token_ids == without_a_cache(model, prompt, 6)
    # The second and third go on from within the slack, the fourth has lost its beginning, the fifth goes on from it.
    assert cache.reused_tokens == LONG + (LONG - 6) + 0 + 12 + (LONG + 2)


@pytest.mark.parametrize("groups", [1, 2])
def test_beams(model: nn.Module, groups: int) -> None:
    """Against the same search with caches that keep everything."""
    settings = GenerationSettings(
        max_new_tokens=30, beams=4, n=2, search=Search(groups=groups, diversity_penalty=0.5 * (groups - 1))
    )
    texts = prompts(LONG, 4, 22)
    found = [completed(beam_search(model, texts, settings, begin=begin)) for begin in caches(model)]
    for ours, theirs in zip(*found, strict=True):
        assert [answer.token_ids for answer in ours] == [answer.token_ids for answer in theirs]
        assert [answer.score for answer in ours] == pytest.approx([answer.score for answer in theirs], abs=1e-10)


def caches(model: nn.Module) -> tuple[Begin, Begin]:
    """The model's own, and such as keep everything."""

    def everything(rows: int, capacity: int) -> State:
        _, heads, _, width = model.new_state(1, 1).layers[0].keys.shape
        return State.of_caches(rows, heads, capacity, width, layers=len(model.blocks), like=model.embedding.weight)

    return model.new_state, everything


def test_contrastive_search(model: nn.Module) -> None:
    settings = GenerationSettings(max_new_tokens=25, top_k=3, search=Search(contrastive_alpha=0.4))
    texts = prompts(LONG, 4)
    found = [completed(contrastive_search(model, texts, settings, begin=begin)) for begin in caches(model)]
    assert [answer[0].token_ids for answer in found[0]] == [answer[0].token_ids for answer in found[1]]


def test_speculation(model: nn.Module) -> None:
    settings = GenerationSettings(max_new_tokens=40)
    for prompt in prompts(LONG, 3):
        expected = without_a_cache(model, prompt, 40)
        for make in (lambda _: PromptLookup(), lambda request: ModelDraft(model, request)):
            (request,) = requests([prompt], settings)
            for _ in speculate(model, request, make(request), model.new_state):
                pass
            assert request.token_ids == expected


def test_a_draft_is_taken_back(model: nn.Module) -> None:
    """Ten wrong guesses at every step."""

    class Wrong:
        least_ahead = MOST_AHEAD

        def propose(self, ids: list[int], count: int) -> tuple[list[int], None]:
            return [(ids[-1] + 1) % V] * count, None

    (prompt,) = prompts(LONG)
    (request,) = requests([prompt], GenerationSettings(max_new_tokens=30))
    for _ in speculate(model, request, Wrong(), model.new_state):
        pass
    assert request.token_ids == without_a_cache(model, prompt, 30)


def test_several_samples_of_one_prompt(model: nn.Module) -> None:
    settings = GenerationSettings(max_new_tokens=30, temperature=1.0, n=3, seed=5)
    made, alone = (requests(prompts(LONG, 2), settings) for _ in range(2))
    finish(Engine(model, slots=4), made)
    for request, other in zip(made, alone, strict=True):
        for _ in decode(model, [other]):
            pass
        assert request.token_ids == other.token_ids


def test_a_rollback_beyond_the_slack_is_refused(model: nn.Module) -> None:
    with torch.inference_mode():
        state = model(torch.tensor(prompts(LONG)), state=model.new_state(1, LONG)).state
    with pytest.raises(Unsupported, match="read the text again"):
        state.rollback(state.lengths - SLACK - 2)


def test_a_prefix_stands_before_a_long_text(model: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one row, with its gradient, beside a row without; it cannot be longer than the window."""
    tuned = copy.deepcopy(model)
    attach(tuned, "mine", PrefixConfig(tokens=3))
    learned = list(adapter_parameters(tuned, "mine").values())
    with torch.no_grad():
        for parameter in learned:
            parameter.normal_(std=0.3)
    texts, found = torch.tensor(prompts(LONG, LONG)), []
    for new_state in caches(model):
        monkeypatch.setattr(tuned, "new_state", new_state)
        with route(tuned, ["mine", None]):
            hidden = tuned(texts, state=begin(tuned, ["mine", None], LONG)).hidden
        found.append([hidden, *torch.autograd.grad(hidden.square().sum(), learned)])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
        assert bool(theirs.any())
    monkeypatch.setattr(tuned, "new_state", model.new_state)
    with pytest.raises(Unsupported, match="cannot be longer than the model looks back"):
        attach(tuned, "long", PrefixConfig(tokens=6))
