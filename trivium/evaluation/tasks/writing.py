"""Answers that a model writes to prompts of any length, as lm-evaluation-harness has them written."""

from collections.abc import Sequence
from typing import Any

from trivium.lm.protocol import LanguageModel


def longest_answer(model: LanguageModel, max_new_tokens: int) -> int:
    """The tokens of an answer: half of what the model holds where that is no more than ``max_new_tokens``.

    The harness refuses such a model.
    """
    limit = model.config.context_tokens
    return max_new_tokens if limit is None or max_new_tokens < limit else max(1, limit // 2)


def write_answers(
    model: LanguageModel, prompts: Sequence[str], *, max_new_tokens: int, stop: Sequence[str] = (), **settings: Any
) -> list[str]:
    """The text that ``model`` writes after each prompt: the most probable one, unless ``settings`` say otherwise.

    A prompt that leaves no room for the answer loses its beginning.
    """
    max_new_tokens = longest_answer(model, max_new_tokens)
    limit, tokenizer = model.config.context_tokens, model.tokenizer
    asked: list[str | list[int]] = list(prompts)
    if limit is not None and tokenizer is not None:
        for number, prompt in enumerate(prompts):
            ids = tokenizer.prefix_ids + tokenizer.encode(prompt)
            if len(ids) > limit - max_new_tokens:
                asked[number] = ids[max_new_tokens - limit :]
    answers = [""] * len(asked)
    # A call takes texts or ids, not both.
    for kind in (str, list):
        places = [number for number, prompt in enumerate(asked) if isinstance(prompt, kind)]
        if places:
            chosen: Any = [asked[number] for number in places]
            options = {"temperature": 0.0, **settings}
            made = model.generate(chosen, max_new_tokens=max_new_tokens, stop=tuple(stop), **options)
            for number, answer in zip(places, made, strict=True):
                answers[number] = answer.text
    return answers
