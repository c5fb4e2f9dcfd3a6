"""What a filter removes, and of whose text: the same figures for all of it and for the texts that name a group.

A filter that was learnt from examples knows who said them. Its false positives by group (Dixon et al. 2018, "Measuring
and Mitigating Unintended Bias in Text Classification") are therefore a part of every report, not an option of it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from trivium.data.quality.harm_features import words

GROUPS: Mapping[str, tuple[str, ...]] = {
    "religion": ("muslim", "muslims", "islam", "jew", "jews", "jewish", "christian", "christians", "catholic", "hindu"),
    "nationality": ("mexican", "mexicans", "chinese", "indian", "american", "americans", "african", "arab", "asian"),
    "colour": ("black", "white", "brown", "yellow"),
    "women": ("woman", "women", "girl", "girls", "female", "wife", "mother", "mom", "sister"),
    "men": ("man", "men", "boy", "boys", "male", "husband", "father", "dad", "brother"),
    "sexuality": ("gay", "gays", "lesbian", "queer", "bisexual", "trans", "transgender", "homosexual"),
    "disability": ("disabled", "blind", "deaf", "autistic", "wheelchair"),
    "age": ("old", "elderly", "young", "teen", "teens", "kid", "kids"),
    "African-American English": (
        "aint", "bout", "bruh", "cuz", "dat", "dem", "dis", "finna", "gon", "imma", "lil", "tryna", "wit", "yall", "yo",
    ),
}  # fmt: skip
"""Words that name groups, and spellings of one dialect (after Blodgett et al. 2016), none of them a slur."""


WARNING = (
    "WARNING: a group with a higher share of wrongly removed text loses more of its own good text than others.\n"
    "Texts and labels carry the prejudices of those who chose them, so the true shares may be worse: look first."
)


@dataclass(frozen=True, kw_only=True)
class GroupFigures:
    """What is removed of the texts that name a group."""

    name: str
    texts: int
    removed: int
    good: int
    """Texts that ought to stay."""
    wrongly_removed: int
    """Good texts that are removed all the same."""

    @property
    def false_positive_rate(self) -> float:
        """Share of the good ones that is removed; NaN where there are none."""
        return self.wrongly_removed / self.good if self.good else float("nan")


@dataclass(frozen=True, kw_only=True)
class Removals:
    """What a filter does to texts of which it is known whether they ought to go."""

    overall: GroupFigures
    """All texts."""
    groups: tuple[GroupFigures, ...]
    """Those that hold a word of the group, or come from one source."""

    @property
    def precision(self) -> float:
        """Share of what is removed that ought to go; NaN where nothing is removed."""
        return 1 - self.overall.wrongly_removed / self.overall.removed if self.overall.removed else float("nan")

    @property
    def recall(self) -> float:
        """Share of what ought to go that is removed; NaN where nothing ought to."""
        bad = self.overall.texts - self.overall.good
        return (self.overall.removed - self.overall.wrongly_removed) / bad if bad else float("nan")

    def precision_at(self, bad_share: float) -> float:
        """Precision on text of which this share ought to go, where good and bad look as they do here."""
        caught = self.recall * bad_share
        wrong = self.overall.false_positive_rate * (1 - bad_share)
        return caught / (caught + wrong) if caught + wrong else float("nan")

    @property
    def equality_difference(self) -> float:
        """Sum over the groups of the gap to the overall false-positive rate (Dixon et al. 2018)."""
        rates = [group.false_positive_rate for group in self.groups if group.good]
        return sum(abs(self.overall.false_positive_rate - rate) for rate in rates)

    def table(self) -> str:
        """All of it for people to read, groups that no text names left out, with the warning that belongs to it."""
        rows = (self.overall, *(group for group in self.groups if group.texts))
        width = max(26, *(len(group.name) + 2 for group in rows))
        lines = [f"{'texts that name':<{width}}{'texts':>8}{'removed':>11}{'good':>10}{'wrongly removed':>17}"]
        for group in rows:
            wrong = f"{group.wrongly_removed} ({group.false_positive_rate:.1%})" if group.good else "-"
            lines.append(f"{group.name:<{width}}{group.texts:>8}{group.removed:>11}{group.good:>10}{wrong:>17}")
        return "\n".join([*lines, f"equality difference of false positives {self.equality_difference:.2f}", WARNING])

    def facts(self) -> dict[str, Any]:
        """The same for programs; shares of nothing are None."""
        rows = [
            {**asdict(g), "false_positive_rate": known(g.false_positive_rate)} for g in (self.overall, *self.groups)
        ]
        return {"precision": known(self.precision), "recall": known(self.recall), "groups": rows}


def removals(
    texts: Sequence[str],
    bad: np.ndarray,
    removed: np.ndarray,
    groups: Mapping[str, Sequence[str]] = GROUPS,
    sources: Sequence[str] = (),
) -> Removals:
    """Counts what is ``removed`` of what is ``bad``, both [texts] bool: altogether, by the words of groups, by source.

    ``sources`` says where each text is from, or nothing; none at all leaves them out.
    """
    members = {name: _naming(texts, terms) for name, terms in groups.items()}
    named = dict.fromkeys(source for source in sources if source)
    members |= {f"from {name}": np.array([source == name for source in sources]) for name in named}
    return Removals(
        overall=_figures("all", np.ones(len(texts), dtype=bool), bad, removed),
        groups=tuple(_figures(name, member, bad, removed) for name, member in members.items()),
    )


def known(figure: float) -> float | None:
    """The figure, or None for a NaN, which JSON does not have."""
    return None if math.isnan(figure) else float(figure)


def _figures(name: str, member: np.ndarray, bad: np.ndarray, removed: np.ndarray) -> GroupFigures:
    return GroupFigures(
        name=name,
        texts=int(member.sum()),
        removed=int((member & removed).sum()),
        good=int((member & ~bad).sum()),
        wrongly_removed=int((member & ~bad & removed).sum()),
    )


def _naming(texts: Sequence[str], terms: Sequence[str]) -> np.ndarray:
    wanted = set(terms)
    return np.array([not wanted.isdisjoint(words(text)) for text in texts])
