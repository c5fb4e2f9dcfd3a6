"""Where a policy's batches come from: prompts in a shuffled order, answers that it writes, and what they are worth.

    source = RolloutSource(prompts, write, CheckedReward(reward), learner.rollout, RolloutConfig(prompts=16), seed=0)
    Trainer(run, learner, source, config).fit()

What is written is decided by the seed, the pass and the number of the prompt alone, so a run that was killed while it
wrote, or whose reward could not be reached, writes the same again.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trivium.data.batches import RolloutBatch
from trivium.data.order import random_number, shuffled
from trivium.data.padding import padded
from trivium.data.resumable import check_same
from trivium.errors import ConfigError, DataError
from trivium.training.rewards import CheckedReward

_SEEDS = 2**62


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """A prompt."""

    text: str
    """What a reward is told of it."""
    ids: list[int]
    """What the policy reads."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Written:
    """An answer that the policy wrote."""

    text: str
    """What a reward is told of it."""
    ids: list[int]
    """Its tokens, the one that ends it included where it was chosen."""
    log_probs: list[float]
    """Natural log-probability of each when it was chosen, at temperature 1."""
    ended: bool
    """It ended of itself, and not at its longest length."""


Write = Callable[[Sequence[list[int]], Sequence[int]], list[Written]]
"""``write(prompts, seeds)``: an answer to each prompt by the present policy, decided by its seed."""
Record = Callable[..., RolloutBatch]
"""`PolicyLearner.rollout`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RolloutConfig:
    """What is written between two updates."""

    prompts: int = 16
    """Prompts of a batch, over all processes."""
    answers: int = 1
    """Answers to each; methods that compare answers need 2 or more."""
    end_penalty: float = 1.0
    """Taken off the reward of an answer that had not ended at its longest length."""
    resample: int = 0
    """How often other prompts are drawn in place of those whose answers all got the same reward, from which nothing
    is learnt where answers are compared (dynamic sampling; Yu et al. 2025, section 3.2)."""

    def __post_init__(self) -> None:
        for name in ("prompts", "answers"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1", received=getattr(self, name))
        if self.end_penalty < 0 or self.resample < 0:
            raise ConfigError("end_penalty and resample are not negative", received=(self.end_penalty, self.resample))
        if self.resample and self.answers < 2:
            raise ConfigError(
                "one answer to a prompt has the same reward as itself",
                received=f"resample {self.resample}, answers {self.answers}",
                fix="set answers to 2 or more, or resample to 0",
            )


@dataclasses.dataclass(frozen=True)
class _Answered:
    """A prompt with its answers that have a reward."""

    prompt: Asked
    answers: list[Written]
    rewards: list[float]
    skipped: int

    @property
    def flat(self) -> bool:
        """Whether all rewards are the same."""
        return len(set(self.rewards)) < 2


class RolloutSource:
    """Batches of rollouts for ever; a `BatchSource`."""

    def __init__(
        self,
        prompts: Sequence[Asked],
        write: Write,
        reward: CheckedReward,
        record: Record,
        config: RolloutConfig,
        *,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        """`record` makes the batch: `PolicyLearner.rollout`. Raises `DataError` without prompts, `ConfigError` where
        they cannot be shared out between the processes."""
        if not prompts:
            raise DataError("there are no prompts to answer", received="an empty list", fix="check the prompts' file")
        if config.prompts % world or (config.resample and world > 1):
            raise ConfigError(
                "the prompts of a batch cannot be shared out",
                received=f"{config.prompts} prompts, {world} processes, resample {config.resample}",
                expected="a multiple of the processes, and no resampling with several",
            )
        self._prompts, self._write, self._reward, self._record = prompts, write, reward, record
        self._config, self._seed, self._rank, self._world = config, seed, rank, world
        read = hashlib.sha256(repr([prompt.ids for prompt in prompts]).encode()).hexdigest()
        self._identity = {"kind": "rollouts", "seed": seed, "prompts": len(prompts), "read": read}
        self._consumed = 0

    def __next__(self) -> RolloutBatch:
        """The next batch; where anything is raised the prompts are asked again next time."""
        before = self._consumed
        try:
            return self._batch()
        except BaseException:
            self._consumed = before
            raise

    def state_dict(self) -> dict[str, Any]:
        """Where the source stands, as JSON; the same on every rank."""
        return {**self._identity, "consumed": self._consumed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue after the last batch that was yielded. Raises `DataError` where the prompts are others."""
        check_same(self._identity, state)
        self._consumed = int(state["consumed"])

    @property
    def passes(self) -> float:
        """Over the prompts so far."""
        return self._consumed / len(self._prompts)

    # Inside ----------------------------------------------------------------------------------------------------------

    def _batch(self) -> RolloutBatch:
        wanted = self._config.prompts // self._world
        kept: list[_Answered] = []
        flat: list[_Answered] = []
        for _ in range(1 + self._config.resample):
            for group in self._answered(wanted - len(kept)):
                (flat if self._config.resample and group.flat else kept).append(group)
            if len(kept) == wanted:
                break
        drawn = len(kept) + len(flat)
        kept += flat[: wanted - len(kept)]
        return self._recorded([group for group in kept if group.answers], drawn)

    def _answered(self, count: int) -> list[_Answered]:
        """The next prompts of this process, answered and judged."""
        numbers = np.arange(self._consumed, self._consumed + count * self._world)[self._rank :: self._world]
        self._consumed += count * self._world
        epochs, places = numbers // len(self._prompts), numbers % len(self._prompts)
        items = shuffled(places, len(self._prompts), seed=self._seed, epochs=epochs)
        each = self._config.answers
        asked = [self._prompts[item] for item in items for _ in range(each)]
        # The number in the order, so that a prompt that comes again is answered otherwise.
        seeds = [random_number(self._seed, int(number) * each + n, _SEEDS) for number in numbers for n in range(each)]
        written = self._write([prompt.ids for prompt in asked], seeds)
        rewards = self._reward([prompt.text for prompt in asked], [answer.text for answer in written])
        return [
            self._group(asked[at], written[at : at + each], rewards[at : at + each])
            for at in range(0, len(asked), each)
        ]

    def _group(self, prompt: Asked, written: Sequence[Written], rewards: Sequence[float | None]) -> _Answered:
        judged = [(answer, reward) for answer, reward in zip(written, rewards, strict=True) if reward is not None]
        return _Answered(
            prompt,
            [answer for answer, _ in judged],
            [reward - (0.0 if answer.ended else self._config.end_penalty) for answer, reward in judged],
            len(written) - len(judged),
        )

    def _recorded(self, groups: Sequence[_Answered], drawn: int) -> RolloutBatch:
        rows = [(place, group.prompt, answer) for place, group in enumerate(groups) for answer in group.answers]
        tokens, lengths = padded([[*prompt.ids, *answer.ids] for _, prompt, answer in rows])
        prompt_lengths = torch.tensor([len(prompt.ids) for _, prompt, _ in rows])
        sampled = torch.zeros(tokens.shape)
        for row, (_, prompt, answer) in enumerate(rows):
            sampled[row, len(prompt.ids) : len(prompt.ids) + len(answer.ids)] = torch.tensor(answer.log_probs)
        rewards = torch.tensor([reward for group in groups for reward in group.rewards], dtype=torch.float32)
        told = {
            "ended": sum(answer.ended for *_, answer in rows) / len(rows),
            "empty": sum(not answer.text.strip() for *_, answer in rows) / len(rows),
            "unique": len({(place, tuple(answer.ids)) for place, _, answer in rows}) / len(rows),
            "reward_deviation": float(rewards.std(correction=0)),
            "skipped_answers": float(sum(group.skipped for group in groups)),
        }
        if self._config.answers > 1:
            told["flat_groups"] = sum(group.flat for group in groups) / len(groups)
        if self._config.resample:
            told["drawn_prompts"] = float(drawn)
        numbers: Tensor = torch.tensor([place for place, *_ in rows])
        return self._record(tokens, lengths, prompt_lengths, rewards, groups=numbers, sampled=sampled, told=told)
