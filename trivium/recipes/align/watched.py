"""A policy under watch: every so often it answers prompts that it does not learn from, and is measured on those.

What the trainer knows as the validation loss is the mean score of these answers with its sign turned: the gold score
where there is one, else the reward. So the best checkpoint is the one with the best answers, and going back to it is
what a checkpoint is for.
"""

import dataclasses
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from trivium.data.batches import RolloutBatch
from trivium.data.padding import padded
from trivium.recipes.align.looks import Look, add_look, forget_after, look, read_looks
from trivium.recipes.align.watch import Parting, WatchConfig, parted, suspicions
from trivium.recipes.align.writing import AnswerWriter
from trivium.runtime import processes
from trivium.training.learners.policy import PolicyLearner
from trivium.training.rewards import CheckedReward
from trivium.training.rollouts import Asked


@dataclasses.dataclass(frozen=True, kw_only=True)
class Watcher:
    """What answers to the held-out prompts are measured by."""

    prompts: Sequence[Asked]
    write: AnswerWriter
    proxy: CheckedReward
    """What is trained on."""
    gold: CheckedReward | None
    """What is not."""
    config: WatchConfig


class WatchedPolicy:
    """A `Learner` that is a `PolicyLearner` and looks at what becomes of it."""

    def __init__(self, learner: PolicyLearner, watcher: Watcher, folder: pathlib.Path) -> None:
        self.model: nn.Module = learner.model
        self._learner, self._watcher, self._folder = learner, watcher, folder
        self._steps = 0
        self._parting: Parting | None = None

    @property
    def parting(self) -> Parting | None:
        """Why training was stopped before its end; None where it was not."""
        return self._parting

    @property
    def finished(self) -> bool:
        """Whether reward and gold score have parted."""
        return self._parting is not None

    def step(self, batch: RolloutBatch) -> dict[str, float]:
        """One update of the policy."""
        metrics = self._learner.step(batch)
        self._steps += 1
        return metrics

    def evaluate(self, batch: Sequence[Asked]) -> tuple[float, float]:
        """Looks at the policy's answers to these prompts; minus the sum of their scores, and their number."""
        seen = self._look(batch)
        forget_after(self._folder, self._steps - 1)  # a signal may have come between this look and what follows it
        add_look(self._folder, seen)
        score = seen.proxy if seen.gold is None else seen.gold
        return -score * len(batch), float(len(batch))

    def _look(self, prompts: Sequence[Asked]) -> Look:
        watcher = self._watcher
        # The same chances at every look: answers differ by what was learnt, and by nothing else.
        written = watcher.write([prompt.ids for prompt in prompts], range(len(prompts)))
        texts, answers = [prompt.text for prompt in prompts], [answer.text for answer in written]
        tokens, lengths = padded([[*prompt.ids, *answer.ids] for prompt, answer in zip(prompts, written, strict=True)])
        begins = torch.tensor([len(prompt.ids) for prompt in prompts])
        rollouts = self._learner.rollout(tokens, lengths, begins, torch.zeros(len(prompts)))
        return look(
            self._steps,
            texts,
            answers,
            proxies=watcher.proxy(texts, answers),
            golds=None if watcher.gold is None else watcher.gold(texts, answers),
            kls=self._learner.divergences(rollouts).tolist(),
            lengths=[len(answer.ids) for answer in written],
            ended=[answer.ended for answer in written],
            samples=watcher.config.samples,
        )

    def heed(self, validation_loss: float) -> None:
        """Decides by the looks so far whether to go on; what only looks suspicious is told."""
        looks = read_looks(self._folder)
        if self._watcher.gold is None:
            if processes.place().is_first:
                for suspicion in suspicions(looks, self._watcher.config):
                    print(f"step {self._steps}: {suspicion}", file=sys.stderr)
            return
        self._parting = parted(looks, self._watcher.config)

    def weights(self) -> dict[str, Tensor]:
        """The policy's."""
        return self._learner.weights()

    def state_dict(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The learner's, and how far the watch is."""
        tensors, state = self._learner.state_dict()
        return tensors, {"policy": state, "steps": self._steps}

    def load_state_dict(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Puts back what `state_dict` gave, and drops what was written after it."""
        self._learner.load_state_dict(tensors, state["policy"])
        self._steps = state["steps"]
        self.forget()
        self._parting = parted(read_looks(self._folder), self._watcher.config) if self._watcher.gold else None

    def forget(self) -> None:
        """Drops what a run that was killed has written of steps that are to be done again."""
        forget_after(self._folder, self._steps)
