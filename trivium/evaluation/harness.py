"""lm-evaluation-harness (EleutherAI) on a `LanguageModel`, for the tasks it has and we have not.

    import lm_eval

    from trivium.evaluation.harness import TriviumLM

    results = lm_eval.simple_evaluate(model=TriviumLM(trivium.load("runs/quickstart")), tasks=["arc_easy"])

Importing this module imports the harness. Raises ``Unsupported`` where it is not installed.
"""

from collections.abc import Sequence
from typing import Any, Literal, final

from trivium.errors import Unsupported
from trivium.evaluation.tasks.writing import write_answers
from trivium.lm.protocol import LanguageModel

try:
    from lm_eval.api.instance import Instance
    from lm_eval.api.model import LM
except ImportError as error:
    raise Unsupported(
        "the bridge to lm-evaluation-harness needs the harness",
        received=error,
        fix='pip install "trivium-lm[harness]"',
    ) from error

_LONGEST_ANSWER = 256  # the harness's own, for tasks that name none
_LONGEST = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")  # the first that is given counts
# The harness's names, which are those of `transformers`, and ours.
_PASSED_ON = {
    "temperature": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
    "typical_p": "typical_p",
    "repetition_penalty": "repetition_penalty",
    "num_beams": "beams",
    "length_penalty": "length_penalty",
    "seed": "seed",
}
_READ_HERE = ("until", "do_sample", *_LONGEST)


@final
class TriviumLM(LM):
    """A `LanguageModel` as the harness knows models.

    ``method`` is how continuations are scored: "causal", or "pseudo" for a masked model.
    """

    def __init__(self, model: LanguageModel, *, method: Literal["causal", "pseudo"] = "causal") -> None:
        super().__init__()
        self.model = model
        self.method: Literal["causal", "pseudo"] = method

    def loglikelihood(self, requests: Sequence[Instance]) -> list[tuple[float, bool]]:
        """(log p(continuation | context), whether it is what the model would write) of each request."""
        pairs: list[tuple[str, str]] = [_arguments(request) for request in requests]
        scores = self.model.score(pairs, method=self.method)
        found = [(score.logprob, score.is_greedy) for score in scores]
        self._remember("loglikelihood", requests, found)
        return found

    def loglikelihood_rolling(self, requests: Sequence[Instance]) -> list[float]:
        """log p of each text, every token scored once; a long one is read in windows."""
        texts = [_arguments(request)[0] for request in requests]
        # An empty text is certain; a model has nothing to score in it.
        scores = iter(self.model.score([("", text) for text in texts if text], method=self.method))
        found = [next(scores).logprob if text else 0.0 for text in texts]
        self._remember("loglikelihood_rolling", requests, found)
        return found

    def generate_until(self, requests: Sequence[Instance]) -> list[str]:
        """What the model writes after each prompt, up to a stop text."""
        answers = [""] * len(requests)
        for settings, places in _alike([_settings(_arguments(request)[1]) for request in requests]):
            prompts = [_arguments(requests[place])[0] for place in places]
            for place, answer in zip(places, write_answers(self.model, prompts, **settings), strict=True):
                answers[place] = answer
        self._remember("generate_until", requests, answers)
        return answers

    def _remember(self, kind: str, requests: Sequence[Instance], found: Sequence[Any]) -> None:
        for request, answer in zip(requests, found, strict=True):
            self.cache_hook.add_partial(kind, request.args, answer)


def _arguments(request: Instance) -> Any:
    """What is asked: (context, continuation), (text,) or (prompt, settings)."""
    return request.args


def _settings(given: dict[str, Any]) -> dict[str, Any]:
    """The harness's settings of one request under our names (`normalize_gen_kwargs` of `lm_eval/models/utils.py`).

    Raises ``Unsupported`` for one that would change the answers and is not here.
    """
    unknown = [name for name in given if name not in _PASSED_ON and name not in _READ_HERE]
    if unknown:
        raise Unsupported(
            "a task asks for a setting of generation that is not here",
            received=", ".join(f"{name}={given[name]!r}" for name in unknown),
            expected=", ".join((*_READ_HERE, *_PASSED_ON)),
            fix="take it out of the task's generation_kwargs",
        )
    until = given.get("until") or []
    longest = next((int(given[name]) for name in _LONGEST if given.get(name) is not None), _LONGEST_ANSWER)
    settings = {ours: given[name] for name, ours in _PASSED_ON.items() if given.get(name) is not None}
    if not given.get("do_sample", settings.get("temperature", 0.0) > 0):
        settings["temperature"] = 0.0
    stop = [text for text in ([until] if isinstance(until, str) else until) if text]
    return {"max_new_tokens": longest, "stop": stop, **settings}


def _alike(settings: Sequence[dict[str, Any]]) -> list[tuple[dict[str, Any], list[int]]]:
    """Equal settings and where they stand: those are answered together."""
    groups: list[tuple[dict[str, Any], list[int]]] = []
    for place, one in enumerate(settings):
        places = next((places for known, places in groups if known == one), None)
        if places is None:
            groups.append((one, [place]))
        else:
            places.append(place)
    return groups
