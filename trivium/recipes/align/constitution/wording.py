"""What a critic and a judge read: plain text with worked examples before it, which a base model continues.

A judge's text ends with `VERDICT`, and what is then looked at is " (A)" and " (B)". Bai et al. 2022 show the forms of
theirs in appendices C and E; the words here are ours.
"""

from collections.abc import Sequence

from trivium.data.conversations import Turn
from trivium.recipes.align.constitution.exemplars import ComparisonExemplar, RevisionExemplar
from trivium.recipes.align.constitution.principles import Principle

CRITIQUE, REVISION, THOUGHTS, VERDICT = "Critique:", "Revision:", "Reasons:", "The better option is:"
LABELS = (" (A)", " (B)")
"""What a judge says: the first option, the second."""

_APART = "\n\n"
_END = "\n\n---\n\n"
STOPS = ("\n\nUser:", "\n\nCritique request:", "\n\nRevision request:", "\n\n---")
"""What ends a critique or a revision; services take four at most."""
THOUGHT_STOPS = (f"\n\n{VERDICT}", "\n\n---")
"""What ends a judge's reasons."""
_INSIST = "Say (A) or (B), whichever is better even by a little, and nothing else."


def critique_text(
    exemplars: Sequence[RevisionExemplar], messages: Sequence[Turn], answer: str, principle: Principle
) -> str:
    """What a critic continues with a critique of `answer`."""
    return _END.join([*map(_worked, exemplars), _criticised(_conversation(messages), answer, principle)])


def revision_text(
    exemplars: Sequence[RevisionExemplar], messages: Sequence[Turn], answer: str, principle: Principle, critique: str
) -> str:
    """What a critic continues with a better answer."""
    asked = [
        f"{_criticised(_conversation(messages), answer, principle)} {critique}",
        f"Revision request: {principle.revision_request}",
        REVISION,
    ]
    return _END.join([*map(_worked, exemplars), _APART.join(asked)])


def comparison_text(
    exemplars: Sequence[ComparisonExemplar],
    messages: Sequence[Turn],
    options: tuple[str, str],
    principle: Principle,
    *,
    thinking: bool,
    insist: bool = False,
) -> str:
    """What a judge continues: with its reasons where it is `thinking`, else with the better option at once.

    `insist` asks for one of the two in so many words, of a judge that has said neither.
    """
    asked = [_compared(_conversation(messages), principle.comparison, *options)]
    if insist:
        asked.append(_INSIST)
    asked.append(THOUGHTS if thinking else VERDICT)
    return _END.join([*(_judged(exemplar, thinking=thinking) for exemplar in exemplars), _APART.join(asked)])


def verdict_text(reasons_asked: str, reasons: str) -> str:
    """What a judge that has thought continues with the better option."""
    return f"{reasons_asked} {reasons}{_APART}{VERDICT}"


def _conversation(messages: Sequence[Turn]) -> str:
    return _APART.join(f"{str(turn['role']).capitalize()}: {str(turn['content']).strip()}" for turn in messages)


def _criticised(conversation: str, answer: str, principle: Principle | RevisionExemplar) -> str:
    parts = [conversation, f"Assistant: {answer}", f"Critique request: {principle.critique_request}", CRITIQUE]
    return _APART.join(parts)


def _worked(exemplar: RevisionExemplar) -> str:
    begun = _criticised(f"User: {exemplar.asked}", exemplar.answer, exemplar)
    rest = [
        f"{begun} {exemplar.critique}",
        f"Revision request: {exemplar.revision_request}",
        f"{REVISION} {exemplar.revision}",
    ]
    return _APART.join(rest)


def _compared(conversation: str, question: str, first: str, second: str) -> str:
    return _APART.join([conversation, f"Question: {question}", f"Option (A): {first}", f"Option (B): {second}"])


def _judged(exemplar: ComparisonExemplar, *, thinking: bool) -> str:
    parts = [_compared(f"User: {exemplar.asked}", exemplar.question, exemplar.first, exemplar.second)]
    if thinking:
        parts.append(f"{THOUGHTS} {exemplar.thoughts}")
    return _APART.join([*parts, f"{VERDICT} ({exemplar.better})"])
