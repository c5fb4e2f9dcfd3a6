"""What came of looking into a model: as plain values, and as a page."""

import dataclasses
from typing import Any

from trivium.evaluation.attention_of import WordAttention
from trivium.evaluation.intervals import Interval
from trivium.evaluation.probes import Probe, Probed
from trivium.evaluation.word_in_context import Distances, Use
from trivium.nn.classification_head import Pooling
from trivium.recipes.probing_data import LabelledText, LabelledWords, Sides
from trivium.reports import parts
from trivium.reports.page import Page
from trivium.reports.understanding import AttentionFacts, DistanceFacts, ProbeFacts, understanding_sections

_SHOWN_HEADS = 5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Given:
    """All that a model is asked about, read and judged."""

    texts: Sides[LabelledText] | None
    """Labelled texts."""
    sentences: Sides[LabelledWords] | None
    """Sentences of tagged words."""
    word: str
    """Whose senses are compared."""
    uses: tuple[Use, ...]
    """Of that word."""

    def facts(self) -> dict[str, Any]:
        """How much there is, in plain values."""
        return {
            "texts": None if self.texts is None else self.texts.facts(),
            "sentences": None if self.sentences is None else self.sentences.facts(),
            "uses": f"{len(self.uses)} of {self.word}",
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Understanding:
    """What was measured."""

    model: str
    """Its folder."""
    architecture: str
    """Its name."""
    longest_tokens: int
    """Where texts were cut."""
    pooling: Pooling
    """How the vectors of a text became one."""
    given: Given
    """What it was asked."""
    texts: Probed | None
    """Probes of the labelled texts; None where none were given."""
    words: Probed | None
    """Probes of the tagged words; None where none were given."""
    distances: list[Distances]
    """Between the uses of ``given.word``, at each layer."""
    sentence: str
    """In which attention was looked at."""
    attention: WordAttention | None
    """None for a model without attention."""
    stack: str
    """Whose attention it is: "encoder" of an encoder-decoder, else "layer"."""
    about: tuple[str, ...]
    """Words whose share of the attention is shown head by head."""
    left_out: tuple[str, ...]
    """What could not be measured, and why, in sentences."""

    def to_json(self) -> dict[str, Any]:
        """In plain values; shares and distances are fractions of 1, layers from the lowest up."""
        given = self.given
        distances = [
            {"layer": at.layer.name, "same": at.same, "different": at.different, "anywhere": at.anywhere}
            for at in self.distances
        ]
        return {
            "model": self.model,
            "architecture": self.architecture,
            "longest_tokens": self.longest_tokens,
            "pooling": self.pooling,
            "texts": None if self.texts is None else _probed(self.texts, given.texts),
            "words": None if self.words is None else _probed(self.words, given.sentences),
            "senses": {"word": given.word, "uses": len(given.uses), "layers": distances},
            "attention": None if self.attention is None else _attention(self.attention, self.sentence),
            "left_out": list(self.left_out),
        }


def _probed(probed: Probed, sides: Sides[Any] | None) -> dict[str, Any]:
    assert sides is not None
    return {
        "learnt": probed.learnt,
        "held_out": probed.held_out,
        "classes": {label: {"learnt": a, "held_out": b} for label, (a, b) in sides.classes.items()},
        "left_out": sides.left_out,
        "majority": probed.majority,
        "best": probed.best.layer.name,
        "layers": [_probe(probe) for probe in probed.probes],
    }


def _probe(probe: Probe) -> dict[str, Any]:
    found: dict[str, Any] = {"layer": probe.layer.name}
    for name, figure in (("accuracy", probe.accuracy), ("f1", probe.f1)):
        found |= {name: figure.estimate, f"{name}_interval": [figure.low, figure.high]}
    return {**found, "control": probe.control, "control_f1": probe.control_f1, "gradient": probe.gradient}


def _attention(found: WordAttention, sentence: str) -> dict[str, Any]:
    weights = [[[round(share, 6) for share in head] for head in layer] for layer in found.weights.tolist()]
    return {"sentence": sentence, "words": list(found.words), "place": found.place, "weights": weights}


# The page -------------------------------------------------------------------------------------------------------------


def page_of(found: Understanding) -> Page:
    """The page that shows it."""
    given, probes = found.given, []
    if found.texts is not None and given.texts is not None:
        probes.append(_probe_facts("Labels of texts", "texts", found.texts, given.texts))
    if found.words is not None and given.sentences is not None:
        probes.append(_probe_facts("Labels of words", "words", found.words, given.sentences))
    distances = DistanceFacts(
        word=given.word,
        layers=[at.layer.name for at in found.distances],
        same=[at.same for at in found.distances],
        different=[at.different for at in found.distances],
        anywhere=[at.anywhere for at in found.distances],
        uses=[(" ".join(use.words), use.sense) for use in given.uses],
    )
    attention = [] if found.attention is None else [_attention_facts(found, found.attention)]
    head = f'<p class="lead">{parts.escape(found.architecture)}, {parts.escape(found.model)}</p>'
    head += parts.paragraph(
        f"The model was only read, and nothing in it was changed. A text was read up to {found.longest_tokens} tokens; "
        f"its vector at a layer is the {found.pooling} of those of its tokens; a word is read at its first piece. "
        "“Embeddings” is what goes into the first layer."
    )
    head += "".join(parts.paragraph(f"Left out. {each}", "note") for each in found.left_out)
    return Page(
        title="What a model knows, layer by layer",
        head=head,
        sections=understanding_sections(probes, [distances], attention),
        foot=parts.paragraph("Everything on this page is in this one file; opening it asks nothing of any network."),
    )


def _probe_facts(name: str, unit: str, probed: Probed, sides: Sides[Any]) -> ProbeFacts:
    def ends(figure: Interval) -> tuple[float, float, float]:
        return figure.low, figure.estimate, figure.high

    controls = [probe.control for probe in probed.probes if probe.control is not None]
    controls_f1 = [probe.control_f1 for probe in probed.probes if probe.control_f1 is not None]
    return ProbeFacts(
        name=name,
        unit=unit,
        layers=[probe.layer.name for probe in probed.probes],
        accuracy=[ends(probe.accuracy) for probe in probed.probes],
        f1=[ends(probe.f1) for probe in probed.probes],
        majority=probed.majority,
        control=controls or None,
        control_f1=controls_f1 or None,
        learnt=probed.learnt,
        held_out=probed.held_out,
        classes=[(label, learnt, held) for label, (learnt, held) in sides.classes.items()],
        outside=sides.outside,
        left_out=sides.left_out,
    )


def _attention_facts(found: Understanding, attention: WordAttention) -> AttentionFacts:
    words = list(attention.words)
    by_head = attention.weights.tolist()
    first = found.about[0] if found.about else None
    heads = [] if first is None else attention.heads_for(first, _SHOWN_HEADS)
    return AttentionFacts(
        word=words[attention.place],
        sentence=found.sentence,
        words=words,
        names=[f"{found.stack} {number}" for number in range(1, len(by_head) + 1)],
        layers=attention.by_layer().tolist(),
        about=[(word, attention.weights[:, :, words.index(word)].tolist()) for word in found.about],
        heads=[(f"{found.stack} {at + 1}, head {head + 1}", by_head[at][head]) for at, head in heads],
    )
