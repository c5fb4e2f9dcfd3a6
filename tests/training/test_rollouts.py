"""Prompts, answers and rewards become batches, in an order that can be taken up again, every answer in its place."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from trivium.data.batches import RolloutBatch
from trivium.errors import ConfigError, DataError
from trivium.training.rewards import CheckedReward, RewardUnavailable
from trivium.training.rollouts import Asked, RolloutConfig, RolloutSource, Written

PROMPTS = [Asked(text=f"prompt {n}", ids=[n + 1, 50 + n][: 1 + n % 2]) for n in range(7)]


def write(prompts: Sequence[list[int]], seeds: Sequence[int]) -> list[Written]:
    """Answers of 1 to 3 tokens that follow from the seed; those of 3 have not ended."""
    return [
        Written(
            text=f"{prompt[0]}:{seed}" if seed % 5 else "",
            ids=[seed % 40] * (1 + seed % 3),
            log_probs=[-1.0 - (seed % 3)] * (1 + seed % 3),
            ended=seed % 3 < 2,
        )
        for prompt, seed in zip(prompts, seeds, strict=True)
    ]


def worth(prompts: Sequence[str], answers: Sequence[str]) -> list[float]:
    return [float(len(answer)) for answer in answers]


def record(tokens: Any, lengths: Any, prompt_lengths: Any, rewards: Any, *, groups: Any, sampled: Any, told: Any):
    mask = torch.zeros_like(tokens, dtype=torch.bool)
    return RolloutBatch(tokens, lengths, prompt_lengths, sampled, sampled, rewards[:, None] * mask, mask, groups, told)


def source(config: RolloutConfig | None = None, *, reward: Any = worth, on_fault: Any = "stop", **more: Any):
    chosen = config or RolloutConfig(prompts=3, answers=2)
    judged = CheckedReward(reward, on_fault=on_fault, sleep=lambda _: None)
    return RolloutSource(PROMPTS, write, judged, kept(more.pop("into", [])), chosen, **more)


def kept(into: list[dict[str, Any]]):
    def recorded(*given: Any, **named: Any) -> RolloutBatch:
        into.append({"rewards": given[3], **named})
        return record(*given, **named)

    return recorded


def test_every_answer_stands_behind_its_prompt():
    batch = next(source())
    assert batch.rows == 6 and batch.groups.tolist() == [0, 0, 1, 1, 2, 2]
    for row in range(6):
        begin, end = int(batch.prompt_lengths[row]), int(batch.lengths[row])
        prompt = batch.tokens[row, :begin].tolist()
        assert prompt in [asked.ids for asked in PROMPTS]
        answer, told = batch.tokens[row, begin:end], batch.log_probs[row, begin:end]
        assert len(set(answer.tolist())) == 1 and told.tolist() == [-float(end - begin)] * (end - begin)
        assert not batch.log_probs[row, :begin].any() and not batch.log_probs[row, end:].any()
    assert all(len({tuple(batch.tokens[row, :1].tolist()) for row in rows}) == 1 for rows in ((0, 1), (2, 3), (4, 5)))


def test_every_prompt_is_asked_once_a_pass_and_answered_otherwise_the_next_time():
    one = RolloutConfig(prompts=7)
    into: list[dict[str, Any]] = []
    read = source(one, into=into)
    firsts = [sorted(next(read).tokens[:, 0].tolist()) for _ in range(2)]
    assert firsts[0] == firsts[1] == [prompt.ids[0] for prompt in PROMPTS]
    assert into[0]["rewards"].sum() != into[1]["rewards"].sum() and read.passes == 2.0


def test_what_does_not_end_costs():
    free, dear = (RolloutConfig(prompts=7, end_penalty=penalty) for penalty in (0.0, 2.5))
    rewards = []
    for config in (free, dear):
        into: list[dict[str, Any]] = []
        next(source(config, into=into))
        rewards.append(into[0])
    missing = rewards[0]["rewards"] - rewards[1]["rewards"]
    assert set(missing.tolist()) == {0.0, 2.5}
    assert rewards[0]["told"]["ended"] == pytest.approx(float((missing == 0).float().mean()))


def test_it_goes_on_where_it_stood():
    whole = source()
    batches = [next(whole) for _ in range(4)]
    begun = source()
    next(begun), next(begun)
    resumed = source()
    resumed.load_state_dict(begun.state_dict())
    assert torch.equal(next(resumed).tokens, batches[2].tokens) and torch.equal(next(resumed).tokens, batches[3].tokens)
    with pytest.raises(DataError, match="resumed"):
        source(seed=1).load_state_dict(begun.state_dict())


def test_where_the_reward_cannot_be_reached_the_same_is_asked_again():
    down = [True]

    def service(prompts: Sequence[str], answers: Sequence[str]) -> list[float]:
        if down[0]:
            raise ConnectionError("away")
        return worth(prompts, answers)

    read = source(reward=service)
    with pytest.raises(RewardUnavailable, match="away"):
        next(read)
    assert read.state_dict()["consumed"] == 0
    down[0] = False
    assert torch.equal(next(read).tokens, next(source()).tokens)


def test_answers_without_a_number_are_left_out_by_choice():
    def picky(prompts: Sequence[str], answers: Sequence[str]) -> list[float]:
        return [float("nan") if answer == "" else 1.0 for answer in answers]

    read = source(RolloutConfig(prompts=7, answers=3), reward=picky, on_fault="skip")
    batch = next(read)
    empty = round(batch.told["skipped_answers"])
    assert empty > 0 and batch.rows == 21 - empty and batch.told["empty"] == 0.0
    assert int(batch.groups.max()) < 7 and len(batch.groups) == batch.rows


def test_prompts_whose_answers_are_all_alike_are_drawn_anew():
    def by_prompt(prompts: Sequence[str], answers: Sequence[str]) -> list[float]:
        """The answers to prompts of an even number are all worth the same."""
        places = [int(prompt.split()[1]) for prompt in prompts]
        return [0.0 if place % 2 == 0 else float(n) for n, place in enumerate(places)]

    plain = next(source(RolloutConfig(prompts=3, answers=2, end_penalty=0.0), reward=by_prompt))
    assert plain.told["flat_groups"] > 0
    config = RolloutConfig(prompts=3, answers=2, end_penalty=0.0, resample=4)
    read = source(config, reward=by_prompt)
    batch = next(read)
    assert batch.told["flat_groups"] == 0.0 and batch.told["drawn_prompts"] > 3
    assert read.state_dict()["consumed"] == batch.told["drawn_prompts"]
    flat = source(config, reward=lambda prompts, answers: [1.0] * len(answers))
    assert next(flat).rows == 6  # nothing better was found


def test_two_processes_share_the_prompts():
    whole = next(source(RolloutConfig(prompts=4, answers=2)))
    halves = [next(source(RolloutConfig(prompts=4, answers=2), rank=rank, world=2)) for rank in (0, 1)]
    rows = {tuple(row) for half in halves for row in half.tokens[:, :1].tolist()}
    assert sum(half.rows for half in halves) == 8
    assert rows == {tuple(row) for row in whole.tokens[:, :1].tolist()}


def test_errors():
    with pytest.raises(DataError, match="no prompts"):
        RolloutSource([], write, CheckedReward(worth), record, RolloutConfig())
    with pytest.raises(ConfigError, match="shared out"):
        source(RolloutConfig(prompts=3), world=2)
    for wrong in ({"prompts": 0}, {"answers": 0}, {"end_penalty": -1.0}, {"resample": 1}):
        with pytest.raises(ConfigError):
            RolloutConfig(**wrong)
