"""Models whose answers are written down: a critic and a judge of whom it is known what they say."""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any, Literal

from trivium.generation.settings import GenerationSettings
from trivium.lm.protocol import Generation, Score

_OPTIONS = re.compile(r"Question: (.*?)\n\nOption \(A\): (.*?)\n\nOption \(B\): (.*?)\n\n", re.DOTALL)

Opinions = Callable[[str, str, str], tuple[float, float]]
"""From the question and the options (A) and (B): the probabilities of " (A)" and of " (B)"."""


class Scripted:
    """As much of a `LanguageModel` as a critic and a judge need; it notes what it was asked."""

    network: Any = None
    tokenizer: Any = None
    config: Any = None

    def __init__(
        self,
        says: Callable[[str, int], str] = lambda prompt, seed: "",
        opinions: Opinions | None = None,
    ) -> None:
        self.says = says
        self._opinions = opinions
        self.capabilities = frozenset({"generate"} | ({"score"} if opinions else set()))
        self.asked: list[str] = []
        self.seeds: list[int] = []

    def generate(self, prompts: Any, *, max_new_tokens: int, **settings: Any) -> list[Generation]:
        """What the script says to each."""
        self.asked += prompts
        self.seeds.append(settings["seed"])
        return [
            Generation(
                text=self.says(prompt, settings["seed"]),
                token_ids=[],
                logprobs=[],
                finish_reason="stop",
                settings=GenerationSettings(max_new_tokens=max_new_tokens),
            )
            for prompt in prompts
        ]

    def score(self, pairs: Sequence[tuple[str, str]], *, method: Literal["causal", "pseudo"] = "causal") -> list[Score]:
        """The logarithm of what is held of each option."""
        assert self._opinions is not None
        found = []
        for context, continuation in pairs:
            self.asked.append(context)
            held = self._opinions(*compared(context))[(" (A)", " (B)").index(continuation)]
            found.append(Score(logprob=math.log(held) if held else -math.inf, is_greedy=False, tokens=1))
        return found

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("neither a critic nor a judge is asked for this")

    logits = stream = chat = embed = fill = classify = regress = tag = answer = complete = _refuse


def compared(text: str) -> tuple[str, str, str]:
    """The question, (A) and (B) of the last comparison in a text: those before are worked examples."""
    return _OPTIONS.findall(text + "\n\n")[-1]


def critic(prompt: str, seed: int) -> str:
    """A critique that must never be learnt, and a revision that is known by the principle it was asked by."""
    if prompt.endswith("Critique:"):
        return f" CRITIQUE of {_last(prompt, 'Assistant: ')}"
    assert prompt.endswith("Revision:")
    return f" Revised {len(_last(prompt, 'Revision request: '))} {seed % 10}"


def _last(prompt: str, begins: str) -> str:
    return prompt.rpartition(begins)[2].partition("\n\n")[0]
