"""The answers that a policy writes to be judged: sampled from its own distribution, by the engine that serves it."""

import dataclasses
from collections.abc import Sequence

from trivium.lm.local import LocalModel
from trivium.lm.protocol import Generation
from trivium.training.rollouts import Written


@dataclasses.dataclass(frozen=True, kw_only=True)
class AnswerWriter:
    """Writes with ``model`` as it is now; a `trivium.training.rollouts.Write`."""

    model: LocalModel
    max_new_tokens: int
    temperature: float
    stop: tuple[str, ...] = ()
    """Texts that end an answer, beside the end token."""

    def __call__(self, prompts: Sequence[list[int]], seeds: Sequence[int]) -> list[Written]:
        """An answer to each prompt, decided by its seed."""
        self.model.network.eval()
        found = self.model.sample(
            prompts, seeds, max_new_tokens=self.max_new_tokens, temperature=self.temperature, stop=self.stop
        )
        return [_written(answer) for answer in found]


def _written(answer: Generation) -> Written:
    return Written(
        text=answer.text.strip(),
        ids=answer.token_ids,
        log_probs=answer.logprobs,
        ended=answer.finish_reason == "stop",
    )
