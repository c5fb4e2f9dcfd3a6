"""Beam search: at every step the best continuations of all open answers go on, and the others are dropped.

The rules are those of ``transformers``. A step looks at more candidates than there are beams, so that enough are left
to go on with when the best of them end; one that ends counts only if it is among the first.

In groups (Vijayakumar et al. 2018, algorithm 1) each group is a beam search of its own, but for a penalty on the
tokens that the groups before it chose in the same step (their Hamming diversity): it is taken off the scores and
stays off, as in the authors' code.

Beams are rows of one ``State`` for all prompts. A search that has ended leaves the batch at once.
"""

from collections.abc import Generator, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trivium.errors import ConfigError, Unsupported
from trivium.generation.constraints import NO_CONSTRAINTS
from trivium.generation.processors import process
from trivium.generation.reading import Begin, read_prompts, read_sources
from trivium.generation.search.candidates import best
from trivium.generation.search.coverage import attention_to_source, coverage_of, read_attending
from trivium.generation.search.group import IMPOSSIBLE, Candidate, Group
from trivium.generation.search.hypothesis import Hypothesis, Stopped
from trivium.generation.search.reorder import reordered
from trivium.generation.settings import GenerationSettings
from trivium.nn.state import State


@torch.inference_mode()
def beam_search(
    model: nn.Module,
    prompts: Sequence[list[int]],
    settings: GenerationSettings,
    *,
    start_id: int | None = None,
    begin: Begin | None = None,
    stopped: Stopped | None = None,
) -> Generator[None, None, list[list[Hypothesis]]]:
    """The ``settings.n`` best answers to each prompt, the best first; yields after each step and returns at the end.

    ``start_id`` is given for encoder-decoders: prompts are then sources, and answers begin after that token.
    ``begin(rows, capacity)`` makes the state of a decoder where it does not begin empty (a prefix). ``stopped``
    looks for stop texts. Equal candidates are taken in the order of their beams, then of their ids. Prompts are checked
    by ``check_requests`` and not here. Raises ``ConfigError`` where the constraints leave fewer answers than are asked
    for; ``Unsupported`` for a coverage penalty on a model that does not show its attention to the source.
    """
    assert settings.greedy and settings.n <= settings.beams, settings
    if not prompts:
        return []
    hidden, state, attended = _read(model, prompts, settings, start_id, begin)
    groups = [
        Group(prompt=number, turn=turn, read=list(prompt) if start_id is None else [start_id])
        for number, prompt in enumerate(prompts)
        for turn in range(settings.search.groups)
    ]
    if settings.search.groups > 1:
        rows = torch.arange(len(prompts), device=hidden.device).repeat_interleave(settings.search.groups)
        hidden, state, attended = hidden[rows], state.take(rows), None if attended is None else attended[rows]
    going = groups
    while True:
        width = len(going[0].beams)
        log_probs = torch.log_softmax(model.head(hidden), dim=-1)
        processed = _processed(log_probs, going, groups, settings)
        _step(processed, log_probs, going, _coverages(attended, state, len(going)), settings, stopped)
        yield
        parents = [place * width + beam.parent for place, group in enumerate(going) for beam in group.beams]
        same_prompts = all(len(group.beams) == width for group in going)
        going = [group for group in going if group.beams]
        if not going:
            each = settings.search.groups
            return [_ranked(groups[first : first + each], settings) for first in range(0, len(groups), each)]
        rows = torch.tensor(parents, device=hidden.device)
        state = reordered(state, rows, same_prompts=same_prompts)
        ids = torch.tensor([[beam.token_ids[-1]] for group in going for beam in group.beams], device=hidden.device)
        output = model(ids, state=state, collect=() if attended is None else ("cross_attention",))
        hidden, state = output.hidden[:, 0], output.state
        attended = None if attended is None else attended[rows] + attention_to_source(output)


def _read(
    model: nn.Module,
    prompts: Sequence[list[int]],
    settings: GenerationSettings,
    start_id: int | None,
    begin: Begin | None,
) -> tuple[Tensor, State, Tensor | None]:
    """The hidden state to begin with, the state, and the attention to each source where coverage counts."""
    if settings.search.coverage_penalty and start_id is None:
        raise Unsupported(
            "a coverage penalty is about a source, and this model has none",
            received=f"coverage_penalty={settings.search.coverage_penalty}",
            expected="an encoder-decoder",
            fix="leave coverage_penalty out",
        )
    if start_id is None:
        empty: Any = model.new_state
        return *read_prompts(model, prompts, settings.max_new_tokens, begin or empty), None
    if settings.search.coverage_penalty:
        return read_attending(model, prompts, settings.max_new_tokens, start_id)
    return *read_sources(model, prompts, settings.max_new_tokens, start_id), None


def _processed(
    log_probs: Float[Tensor, "R V"], going: Sequence[Group], groups: Sequence[Group], settings: GenerationSettings
) -> Float[Tensor, "R V"]:
    """The log-probabilities as the processors leave them; a beam that the constraints leave no token is all -inf.

    Raises ``ConfigError`` with the rules where they leave none to any beam of a prompt that has no answer yet.
    """
    histories = [history for group in going for history in group.histories]
    processed = process(log_probs, settings, histories, dead_ends=True)
    if settings.search.renormalise:
        # A beam without a token left stays so: it has no probabilities to divide among.
        dead = processed.amax(-1, keepdim=True) == IMPOSSIBLE
        processed = torch.where(dead, processed, torch.log_softmax(processed, dim=-1))
    if settings.constraints == NO_CONSTRAINTS:
        return processed
    prompts = [group.prompt for group in going for _ in group.beams]
    dead = (processed.amax(-1) == IMPOSSIBLE).tolist()
    alive = {prompt for prompt, is_dead in zip(prompts, dead, strict=True) if not is_dead}
    alive |= {group.prompt for group in groups if group.finished}
    for row, prompt in enumerate(prompts):
        if prompt not in alive:
            process(log_probs[row : row + 1], settings, histories[row : row + 1])  # which refuses, and says why
    return processed


def _step(
    processed: Float[Tensor, "R V"],
    log_probs: Float[Tensor, "R V"],
    groups: Sequence[Group],
    coverages: Sequence[Sequence[float]],
    settings: GenerationSettings,
    stopped: Stopped | None,
) -> None:
    """One more token for every group, in turns: a group of a later turn knows what the earlier ones chose."""
    totals = [beam.total for group in groups for beam in group.beams]
    scores = processed + log_probs.new_tensor(totals)[:, None]
    scores, log_probs = (each.unflatten(0, (len(groups), -1)) for each in (scores, log_probs))  # [G, beams, V]
    chosen: dict[int, Tensor] = {}  # by prompt: how often an earlier group chose each token
    for turn in range(settings.search.groups):
        places = [place for place, group in enumerate(groups) if group.turn == turn]
        if not places:
            continue
        mine = scores if len(places) == len(groups) else scores[places]
        if chosen:
            untouched = scores.new_zeros(scores.shape[-1])
            counts = torch.stack([chosen.get(groups[place].prompt, untouched) for place in places])
            mine = mine - settings.search.diversity_penalty * counts[:, None]
        own = log_probs if len(places) == len(groups) else log_probs[places]
        for place, candidates in zip(places, _candidates(mine, own, settings), strict=True):
            group = groups[place]
            group.advance(candidates, coverages[place], settings, stopped)
            if settings.search.groups > 1:
                tokens = [beam.token_ids[-1] for beam in group.beams if beam.total > IMPOSSIBLE]
                counted = torch.tensor(tokens, dtype=torch.long, device=scores.device)
                ones = scores.new_ones(len(tokens))
                chosen.setdefault(group.prompt, scores.new_zeros(scores.shape[-1])).index_add_(0, counted, ones)


def _candidates(
    scores: Float[Tensor, "G W V"], log_probs: Float[Tensor, "G W V"], settings: GenerationSettings
) -> list[list[Candidate]]:
    """The best continuations of each group: enough to go on with where every beam ends in each of its end tokens."""
    width = settings.beams // settings.search.groups
    totals, places = best(scores.flatten(1), max(2, 1 + len(settings.eos_ids)) * width)
    own = log_probs.flatten(1).gather(1, places)
    vocabulary = scores.shape[-1]
    return [
        [
            Candidate(parent=place // vocabulary, token=place % vocabulary, total=total, log_prob=log_prob)
            for total, place, log_prob in zip(*row, strict=True)
        ]
        for row in zip(totals.tolist(), places.tolist(), own.tolist(), strict=True)
    ]


def _coverages(attended: Tensor | None, state: State, groups: int) -> list[list[float]]:
    """By group and beam; 0 where coverage does not count."""
    if attended is None or state.memory is None:
        return [[0.0] * (state.rows // groups)] * groups
    lengths = state.memory.lengths
    each_row = lengths.repeat_interleave(state.rows // lengths.shape[0])
    return coverage_of(attended, each_row).unflatten(0, (groups, -1)).tolist()


def _ranked(groups: Sequence[Group], settings: GenerationSettings) -> list[Hypothesis]:
    """The best answers of all groups of a prompt; of equal ones the earlier group's first."""
    found = sorted((answer for group in groups for answer in group.finished), key=lambda answer: -answer.score)
    if len(found) < settings.n:
        raise ConfigError(
            f"prompt {groups[0].prompt} has fewer possible answers than are asked for",
            received=f"n={settings.n}",
            expected=f"at most {len(found)}",
            fix="loosen the constraints, or ask for fewer answers",
        )
    return found[: settings.n]
