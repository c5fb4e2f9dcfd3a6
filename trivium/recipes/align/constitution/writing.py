"""Asking any `LanguageModel` for texts: every prompt with a chance of its own, and only what a service takes."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from trivium.lm.hosted.model import HostedModel
from trivium.lm.local import LocalModel
from trivium.lm.protocol import LanguageModel

Speaker = LanguageModel | LocalModel
"""Whatever can be asked: any `LanguageModel`, of which type checkers do not see that a `LocalModel` is one."""
Exemplar = TypeVar("Exemplar")


def write(
    model: Speaker,
    prompts: Sequence[str],
    seeds: Sequence[int],
    *,
    max_new_tokens: int,
    temperature: float,
    stop: Sequence[str],
) -> list[str]:
    """A text that continues each prompt, without what stops it.

    Of a model that is here a text depends on its own prompt and seed alone. Another is given the first of the seeds,
    and of a service's settings only those that it takes; what stop texts it does not know is cut off here.
    """
    if not prompts:
        return []
    if isinstance(model, LocalModel):
        ids = [model.prompt_ids(prompt) for prompt in prompts]
        found = model.sample(ids, seeds, max_new_tokens=max_new_tokens, temperature=temperature, stop=stop)
    else:
        settings: dict[str, Any] = {"temperature": temperature, "stop": tuple(stop), "seed": seeds[0]}
        if isinstance(model, HostedModel):
            settings = {name: settings[name] for name in settings if name in model.config.published.takes}
        found = model.generate(prompts, max_new_tokens=max_new_tokens, **settings)
    return [_cut(answer.text, stop) for answer in found]


def with_room(
    model: Speaker, text_of: Callable[[Sequence[Exemplar]], str], exemplars: Sequence[Exemplar], new_tokens: int
) -> str | None:
    """The text with as many of the worked examples as the model was made to read beside an answer, the last of them;
    None where it has no room for the text alone.

    A service is given all of them: its tokens are its own.
    """
    if not isinstance(model, LocalModel) or model.config.context_tokens is None:
        return text_of(exemplars)
    for left_out in range(len(exemplars) + 1):
        text = text_of(exemplars[left_out:])
        if len(model.prompt_ids(text)) + new_tokens <= model.config.context_tokens:
            return text
    return None


def _cut(text: str, stop: Sequence[str]) -> str:
    ends = [place for each in stop if (place := text.find(each)) >= 0]
    return text[: min(ends)] if ends else text
