"""What came in, what each rule removed or changed, and what is left, with examples to look at.

Raw text from the web loses 97 to 99 % on its way to a corpus. The funnel says where, from which source, and shows a few
of the lost, so that a rule that removes the wrong text is seen.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from trivium.data.documents import Document

_EXAMPLES = 5
_EXAMPLE_CHARACTERS = 240
_NAMED_FILES = 10_000

STAGES = (
    "file passed over",
    "forgotten",
    "cleaning",
    "boilerplate",
    "language",
    "quality",
    "perplexity",
    "harm",
    "privacy",
    "duplicate",
    "near-duplicate",
    "repeated paragraph",
    "repeated passage",
    "near-duplicate of training",
    "mixture",
)
"""The stages of the pipeline, in the order they are walked; a stage has one rule or several."""


@dataclass(kw_only=True)
class Step:
    """One rule: what it did."""

    documents_removed: int = 0
    """Documents that end here."""
    documents_changed: int = 0
    """Documents that go on altered."""
    bytes: int = 0
    """Bytes that went, of removed and of changed documents."""
    details: dict[str, int] = field(default_factory=dict)
    """What it counted inside documents: lines, e-mail addresses."""
    sources: dict[str, int] = field(default_factory=dict)
    """Documents removed, or changed, by source."""
    examples: list[dict[str, str]] = field(default_factory=list)
    """The first few: id, reason, the beginning of the text."""


class Funnel:
    """Counts that can be put together: that of a corpus is the sum of those of its parts, in their order."""

    def __init__(self) -> None:
        self.documents_in = 0
        self.bytes_in = 0
        self.passed_over: list[tuple[str, str, str]] = []
        """(name, reason, source) of files and records that gave no document, the first ten thousand."""
        self._steps: dict[tuple[int, str], Step] = {}

    def enter(self, document: Document) -> None:
        """A document that was read."""
        self.documents_in += 1
        self.bytes_in += document.num_bytes

    def pass_over(self, name: str, reason: str, source: str) -> None:
        """A file or a record that never became a document."""
        step = self.step("file passed over")
        step.documents_removed += 1
        _count(step.sources, source)
        self._show(step, name, reason, "")
        if len(self.passed_over) < _NAMED_FILES:
            self.passed_over.append((name, reason, source))

    def remove(self, stage: str, document: Document, reason: str = "", *, rule: str | None = None) -> None:
        """A document that ends at ``rule`` of ``stage``."""
        step = self.step(stage, rule)
        step.documents_removed += 1
        step.bytes += document.num_bytes
        _count(step.sources, document.origin)
        self._show(step, document.id, reason, document.text)

    def remove_all(
        self, stage: str, *, bytes: int, sources: Mapping[str, int], examples: Iterable[tuple[Document, str]]
    ) -> None:
        """Documents that a stage removes together: how many of each source, and the first few with the reason."""
        step = self.step(stage)
        step.documents_removed += sum(sources.values())
        step.bytes += bytes
        for name, count in sources.items():
            _count(step.sources, name, count)
        for document, reason in examples:
            self._show(step, document.id, reason, document.text)

    def change(
        self,
        stage: str,
        before: Document,
        after: Document,
        details: Mapping[str, int] | None = None,
        *,
        rule: str | None = None,
    ) -> None:
        """A document that goes on altered."""
        step = self.step(stage, rule)
        step.documents_changed += 1
        step.bytes += before.num_bytes - after.num_bytes
        _count(step.sources, after.origin)
        for name, count in (details or {}).items():
            _count(step.details, name, count)
        told = ", ".join(f"{name} {count}" for name, count in (details or {}).items())
        self._show(step, after.id, told, after.text)

    def cut(self, stage: str, document: Document, text: str, details: Mapping[str, int] | None = None) -> Document:
        """The document with what is left of its text; told as a change, or as its end if that is nothing."""
        if text == document.text:
            return document
        after = replace(document, text=text if text.strip() else "")
        if after.text:
            self.change(stage, document, after, details)
        else:
            self.remove(stage, document, rule=f"nothing but {stage}s")
        return after

    def forget(self, document: Document) -> None:
        """A document that has to stay out: counted, and nothing of it is told."""
        step = self.step("forgotten")
        step.documents_removed += 1
        step.bytes += document.num_bytes

    def step(self, stage: str, rule: str | None = None) -> Step:
        """The step of a rule, shown even where it removes nothing; ``rule`` is the only one of its stage if None."""
        return self._steps.setdefault((STAGES.index(stage), rule or stage), Step())

    def add(self, other: "Funnel") -> None:
        """The counts of the part that comes next."""
        self.documents_in += other.documents_in
        self.bytes_in += other.bytes_in
        self.passed_over = (self.passed_over + other.passed_over)[:_NAMED_FILES]
        for (stage, rule), theirs in other._steps.items():
            ours = self.step(STAGES[stage], rule)
            ours.documents_removed += theirs.documents_removed
            ours.documents_changed += theirs.documents_changed
            ours.bytes += theirs.bytes
            for name, count in theirs.details.items():
                _count(ours.details, name, count)
            for name, count in theirs.sources.items():
                _count(ours.sources, name, count)
            ours.examples = (ours.examples + theirs.examples)[:_EXAMPLES]

    @property
    def removed(self) -> dict[str, int]:
        """Rule: documents, or files, that ended there, in the order of the pipeline."""
        return {row["rule"]: row["documents_removed"] for row in self.rows() if "documents_removed" in row}

    def rows(self) -> list[dict[str, Any]]:
        """What `funnel.json` holds: a row a rule, in the order of the pipeline."""
        rows = []
        for (stage, rule), step in sorted(self._steps.items(), key=lambda item: item[0][0]):
            row: dict[str, Any] = {"stage": STAGES[stage], "rule": rule}
            row |= {name: value for name, value in asdict(step).items() if value or name in ("bytes", "examples")}
            if not step.documents_changed:
                row["documents_removed"] = step.documents_removed
            rows.append(row)
        return rows

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        steps = [[stage, rule, asdict(step)] for (stage, rule), step in self._steps.items()]
        facts = {"documents_in": self.documents_in, "bytes_in": self.bytes_in, "passed_over": self.passed_over}
        return {**facts, "steps": steps}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Funnel":
        """What `to_json` gave."""
        funnel = cls()
        funnel.documents_in, funnel.bytes_in = values["documents_in"], values["bytes_in"]
        funnel.passed_over = [(name, reason, source) for name, reason, source in values["passed_over"]]
        funnel._steps = {(stage, rule): Step(**step) for stage, rule, step in values["steps"]}
        return funnel

    @staticmethod
    def _show(step: Step, name: str, reason: str, text: str) -> None:
        if len(step.examples) < _EXAMPLES:
            example = {"id": name, "reason": reason, "text": text[:_EXAMPLE_CHARACTERS]}
            step.examples.append({key: value for key, value in example.items() if value})


def _count(counts: dict[str, int], name: str, count: int = 1) -> None:
    counts[name] = counts.get(name, 0) + count
