"""The forms in which preference data is written, each line recognised by its fields.

Pairs       {"prompt": ..., "chosen": ..., "rejected": ...}         may also have "margin", "probability", or
            {"conversations" or "messages", "chosen", "rejected"}   "score_chosen" and "score_rejected"
            {"chosen": [...], "rejected": [...]}                    conversations that begin alike (TRL)
            {"chosen": "\\n\\nHuman: ...\\n\\nAssistant: ...", ...}    dialogues that begin alike (HH-RLHF)
Rankings    {"prompt", "answers": [...], "ranks": [2, 1, 3]}        the rank of each answer: 1 is best, equal ones tie
            {"prompt", "answers", "ranks": {"helpful": [...]}}      by several criteria
Scores      {"prompt", "answer", "score": 3.5}                      or "scores": {"helpfulness": 3, ...}
            {"prompt", "answers": [...], "scores": [3, 5]}
Labels      {"prompt", "completion", "label": true}                 good or bad
            {"messages" or "conversations", "label": false}         of the last turn
Trees       of OpenAssistant: `trivium.data.preferences.trees`

A prompt is a text, a list of messages, a question, or an instruction with its input; an answer a text or a message.
Answers may also be called responses or completions, each with its own "rank" or "score" (Nectar, UltraFeedback). A line
that two forms fit is refused: which was meant is not for us to guess. One with an empty answer is left out and counted,
since published sets have them. Beside any form may stand "criterion" and "rater".
"""

from collections.abc import Mapping, Sequence
from typing import Any

from trivium.data.conversations import Turn, Unusable
from trivium.data.preferences.judged import DEFAULT, Judged, LeftOut, ranks_of
from trivium.data.preferences.prompts import asked_of, is_dialogue, parted, parted_dialogues, text_of
from trivium.data.preferences.said import finite, label_of, ranks_by_criterion, scores_by_criterion

FORMS = (
    'pairs {"prompt", "chosen", "rejected"}, rankings {"prompt", "answers", "ranks"}, scores {"prompt", "answer", '
    '"score"}, labels {"prompt", "completion", "label"} or trees of OpenAssistant'
)
PROMPTS = ("prompt", "messages", "conversations", "instruction", "question")
_MANY = ("answers", "responses", "completions")
_ONE = ("answer", "response", "completion", "output")
# What `trivium generate --input FILE --json` writes; beside another answer it is seldom one.
_GENERATED = ("text",)
_RANKS = ("ranks", "ranking", "rank")
_SCORES = ("scores", "score")
_LABELS = ("label", "kto_tag")
# HelpSteer has a column for each criterion (Wang et al. 2023, arXiv 2311.09528, section 3).
_HELPSTEER = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")
_OWN_SCORE = (*_SCORES, "overall_score")
_BESIDE = ("margin", "probability")
NAMES = (*PROMPTS, "input", "system", "tools", "chosen", "rejected", *_BESIDE, "score_chosen", "score_rejected", *_MANY)
FIELDS = (*NAMES, *_ONE, *_GENERATED, *_RANKS, *_SCORES, *_LABELS, *_HELPSTEER, "criterion", "rater")
"""All fields that a form has."""


def judged_of(fields: Mapping[str, Any], *, unjudged: bool = False) -> Judged:
    """What a line with these fields says.

    Args:
        fields: of the line.
        unjudged: whether answers may stand there of which nothing is said, as those that are yet to be judged.

    Raises:
        Unusable: it says nothing that is understood, or could be two forms.
        LeftOut: it is understood, and no example: an answer is empty.
    """
    pair, many, one = (_present(fields, names) for names in (("chosen", "rejected"), _MANY, _ONE))
    one = one or _present(fields, _GENERATED)
    if pair and many:
        raise Unusable(f"it fits two forms, pairs with `{pair[0]}` and rankings with `{many[0]}`")
    if pair:
        return _pair(fields)
    if many:
        return _several(fields, many, unjudged)
    if one or _present(fields, ("messages", "conversations")):
        return _single(fields, one, unjudged)
    raise Unusable(f"none of these forms; it has {', '.join(map(str, fields)) or 'nothing'}"[:160])


def _pair(fields: Mapping[str, Any]) -> Judged:
    missing = [name for name in ("chosen", "rejected") if fields.get(name) is None]
    if missing:
        raise Unusable(f"a pair without `{missing[0]}`")
    chosen, rejected = fields["chosen"], fields["rejected"]
    whole = _present(fields, PROMPTS) == []
    if isinstance(chosen, list) and isinstance(rejected, list) and _begins_itself(chosen):
        messages, answers = parted(chosen, rejected, system=fields.get("system"), tools=fields.get("tools"))
    elif whole and is_dialogue(chosen) and is_dialogue(rejected):
        messages, answers = parted_dialogues(chosen, rejected)
    else:
        answers = tuple(text_of(fields[name], name) for name in ("chosen", "rejected"))
        messages = asked_of(fields)
    _check_answers(answers)
    ours = _criterion(fields)
    scores, margin = _score_beside(fields), _margin(fields)
    if scores is not None:
        if scores[0] < scores[1]:
            raise Unusable(f"the rejected answer has the higher score: {scores[0]:g} and {scores[1]:g}")
        margin = scores[0] - scores[1] if margin is None else margin
    return Judged(
        messages=messages,
        answers=answers,
        ranks={ours: (1, 2)},
        scores={} if scores is None else {ours: scores},
        margin=margin,
        probability=_probability(fields),
        rater=_rater(fields),
        written_as="pairs",
    )


def _begins_itself(conversation: Sequence[Any]) -> bool:
    """Whether a list of turns begins before the answer, which else stands there alone."""
    first = conversation[0] if conversation else None
    return isinstance(first, dict) and first.get("role", first.get("from")) not in ("assistant", "gpt")


def _several(fields: Mapping[str, Any], names: Sequence[str], unjudged: bool) -> Judged:
    if len(names) > 1:
        raise Unusable(f"it has both `{names[0]}` and `{names[1]}`")
    items = fields[names[0]]
    if not isinstance(items, list) or not items:
        raise Unusable(f"`{names[0]}` is no list of answers, or an empty one")
    answers = tuple(text_of(item, names[0]) for item in items)
    _check_answers(answers)
    ours = _criterion(fields)
    ranks = _ranks(fields, items, ours)
    scores = _scores(fields, items, ours)
    if not ranks and not scores and not unjudged:
        raise Unusable(f"`{names[0]}` without ranks or scores of them")
    if ranks and len(answers) < 2:
        raise Unusable("a ranking of one answer")
    return Judged(
        messages=asked_of(fields),
        answers=answers,
        ranks=ranks,
        scores=scores,
        rater=_rater(fields),
        written_as="rankings" if ranks else "scores" if scores else "answers",
    )


def _ranks(fields: Mapping[str, Any], items: Sequence[Any], criterion: str) -> dict[str, tuple[int, ...]]:
    own = _own(items, ("rank",))
    if own is not None:
        return {criterion: ranks_of([finite(value, "rank") for value in own])}
    name = _only(fields, _RANKS)
    return {} if name is None else ranks_by_criterion(fields[name], len(items), criterion)


def _scores(fields: Mapping[str, Any], items: Sequence[Any], criterion: str) -> dict[str, tuple[float, ...]]:
    own = _own(items, _OWN_SCORE)
    if own is None:
        name = _only(fields, _SCORES)
        return {} if name is None else scores_by_criterion(fields[name], len(items), criterion)
    if all(isinstance(value, Mapping) for value in own):
        shared = [name for name in own[0] if all(name in value for value in own)]
        return {name: tuple(finite(value[name], "score") for value in own) for name in shared}
    return {criterion: tuple(finite(value, "score") for value in own)}


def _own(items: Sequence[Any], names: Sequence[str]) -> list[Any] | None:
    """What each of the answers has under one of the names; None where none has any."""
    for name in names:
        values = [item.get(name) for item in items if isinstance(item, Mapping)]
        if any(value is not None for value in values):
            if len(values) < len(items) or any(value is None for value in values):
                raise Unusable(f"not every answer has a `{name}`")
            return values
    return None


def _single(fields: Mapping[str, Any], names: Sequence[str], unjudged: bool) -> Judged:
    if len(names) > 1:
        raise Unusable(f"it has both `{names[0]}` and `{names[1]}`")
    ours = _criterion(fields)
    score = _only(fields, _SCORES)
    scores = {} if score is None else scores_by_criterion(fields[score], 1, ours)
    scores = scores or {name: (finite(fields[name], name),) for name in _present(fields, _HELPSTEER)}
    said = _only(fields, _LABELS)
    label = None if said is None else fields[said]
    if label is None and not scores and not unjudged:
        ranked = _only(fields, _RANKS)
        raise Unusable(f"a ranking of one answer, by `{ranked}`" if ranked else "an answer without a label or a score")
    if names:
        messages, answer = asked_of(fields), text_of(fields[names[0]], names[0])
    else:
        messages, answer = _answered(fields, _present(fields, ("messages", "conversations"))[0])
    _check_answers((answer,))
    return Judged(
        messages=messages,
        answers=(answer,),
        scores=scores,
        good=None if label is None else (label_of(label),),
        rater=_rater(fields),
        written_as="labels" if label is not None else "scores" if scores else "answers",
    )


def _answered(fields: Mapping[str, Any], name: str) -> tuple[tuple[Turn, ...], str]:
    """(what comes before, the answer) of a conversation with its answer."""
    turns = fields[name]
    if not isinstance(turns, list) or not turns:
        raise Unusable(f"`{name}` is no list of turns, or an empty one")
    answer = text_of(turns[-1], "the last turn")
    return asked_of({**fields, name: turns[:-1]}), answer


def _present(fields: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    return [name for name in names if fields.get(name) is not None]


def _only(fields: Mapping[str, Any], names: Sequence[str]) -> str | None:
    present = _present(fields, names)
    if len(present) > 1:
        raise Unusable(f"it has both `{present[0]}` and `{present[1]}`")
    return present[0] if present else None


def _check_answers(answers: Sequence[str]) -> None:
    if not all(answer.strip() for answer in answers):
        raise LeftOut("with an empty answer")


def _criterion(fields: Mapping[str, Any]) -> str:
    return _word(fields, "criterion") or DEFAULT


def _rater(fields: Mapping[str, Any]) -> str | None:
    return _word(fields, "rater")


def _word(fields: Mapping[str, Any], name: str) -> str | None:
    value = fields.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise Unusable(f"`{name}` is no name")
    return str(value)


def _probability(fields: Mapping[str, Any]) -> float | None:
    if fields.get("probability") in (None, ""):
        return None
    probability = finite(fields["probability"], "probability")
    if not 0.5 <= probability <= 1:
        raise Unusable(f"a probability of {probability:g} that the chosen answer is better, which is 0.5 to 1")
    return probability


def _margin(fields: Mapping[str, Any]) -> float | None:
    if fields.get("margin") in (None, ""):
        return None
    margin = finite(fields["margin"], "margin")
    if margin < 0:
        raise Unusable(f"a negative margin, {margin:g}: the rejected answer would be better")
    return margin


def _score_beside(fields: Mapping[str, Any]) -> tuple[float, float] | None:
    names = _present(fields, ("score_chosen", "score_rejected"))
    if len(names) == 1:
        raise Unusable(f"`{names[0]}` alone: both answers have a score, or none")
    return (finite(fields[names[0]], names[0]), finite(fields[names[1]], names[1])) if names else None
