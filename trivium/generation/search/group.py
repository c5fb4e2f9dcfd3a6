"""The bookkeeping of one beam search: which answers are open, which are finished, and when it is over.

An answer's score is its log-probability, as the processors left it, over its length (without the prompt) to the power
of the length penalty, plus what a coverage penalty takes off. The rules are those of ``transformers``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from trivium.generation.history import History
from trivium.generation.search.hypothesis import FinishReason, Hypothesis, Stopped, end_of
from trivium.generation.settings import GenerationSettings

IMPOSSIBLE = float("-inf")
"""The score of what must not be chosen."""


@dataclass(frozen=True, kw_only=True)
class Beam:
    """An open answer."""

    token_ids: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    total: float = 0.0
    """Sum of the processed log-probabilities; -inf for a beam that only fills its row."""
    parent: int = 0
    """Which beam of the group it came from in the last step."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One more token on a beam."""

    parent: int
    token: int
    total: float
    log_prob: float


@dataclass(kw_only=True)
class Group:
    """The beams of one prompt that compete with each other, and the best answers that have come out of them."""

    prompt: int
    """Which prompt it answers."""
    turn: int
    """Its place among the groups of the prompt."""
    read: list[int]
    """What the decoder has read before the answer."""
    beams: list[Beam] = field(default_factory=lambda: [Beam()])
    """Open answers, the best first; none when the search is over."""
    finished: list[Hypothesis] = field(default_factory=list)

    @property
    def histories(self) -> list[History]:
        """What the decoder has read of each beam."""
        return [History(self.read, beam.token_ids) for beam in self.beams]

    def advance(
        self,
        candidates: Sequence[Candidate],
        coverage: Sequence[float],
        settings: GenerationSettings,
        stopped: Stopped | None,
    ) -> None:
        """Takes the candidates, the best first, as new beams or finished answers, and notices the end."""
        width = settings.beams // settings.search.groups
        beams: list[Beam] = []
        for rank, candidate in enumerate(candidates):
            if candidate.total == IMPOSSIBLE or (rank >= width and len(beams) == width):
                break
            parent = self.beams[candidate.parent]
            beam = Beam(
                token_ids=[*parent.token_ids, candidate.token],
                log_probs=[*parent.log_probs, candidate.log_prob],
                total=candidate.total,
                parent=candidate.parent,
            )
            reason = end_of(self.read, beam.token_ids, settings, stopped)
            if reason is None:
                beams.append(beam)
            elif rank < width:
                self.finished.append(_finished(beam, reason, coverage[beam.parent], settings))
        self.finished = sorted(self.finished, key=lambda answer: -answer.score)[:width]
        over = not beams or (len(self.finished) == width and not self._can_improve(beams[0], settings))
        fillers = [] if over else [replace(beams[0], total=IMPOSSIBLE)] * (width - len(beams))
        self.beams = [] if over else beams + fillers

    def _can_improve(self, beam: Beam, settings: GenerationSettings) -> bool:
        """Whether the best open answer could still replace the worst finished one; a coverage penalty may be 0."""
        early = settings.search.early_stopping
        if early is True:
            return False
        # A longer answer is less probable, and gains by being longer: how much it will have gained is a guess.
        guess = settings.max_new_tokens if early is None and settings.length_penalty > 0 else len(beam.token_ids)
        return beam.total / guess**settings.length_penalty > self.finished[-1].score


def _finished(beam: Beam, reason: FinishReason, coverage: float, settings: GenerationSettings) -> Hypothesis:
    score = beam.total / len(beam.token_ids) ** settings.length_penalty
    return Hypothesis(
        token_ids=beam.token_ids,
        log_probs=beam.log_probs,
        score=score + settings.search.coverage_penalty * coverage,
        finish_reason=reason,
    )
