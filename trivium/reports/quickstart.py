"""The report of the quickstart: what came in, what was learnt, what it cost. Takes plain figures, gives a page."""

import dataclasses
from collections.abc import Mapping, Sequence

from trivium.reports import parts
from trivium.reports.page import Page, Section


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextFacts:
    """What was read, what of it was kept."""

    source: str
    """Where the text comes from, in words."""
    documents_in: int
    documents_out: int
    bytes_in: int
    bytes_out: int
    removed: Mapping[str, int]
    """Documents that each rule took out."""
    splits: Mapping[str, tuple[int, int]]
    """Documents and tokens of each split."""
    pieces: Sequence[str]
    """Some of the longest pieces of the vocabulary."""
    vocabulary_size: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class LearningFacts:
    """How pre-training went."""

    parameters: int
    tokens: int
    steps: int
    tokens_per_second: float
    train: Sequence[tuple[int, float]]
    """(step, bits per byte of the training text)."""
    validation: Sequence[tuple[int, float]]
    """(step, bits per byte of the validation text)."""
    bits_per_byte: Mapping[str, float]
    """Ours under "this model", and that of each baseline."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class InsideFacts:
    """What can be seen inside."""

    kinds: Sequence[tuple[str, float, float]]
    """(kind of character, bits a byte of a unigram, bits a byte of the model)."""
    shaded: Sequence[tuple[str, float]]
    """(piece, bits) of a validation text."""
    guesses: Sequence[tuple[str, str, Sequence[tuple[str, float]]]]
    """(beginning, what really followed, the likeliest next pieces with their probabilities)."""
    maps: Sequence[tuple[str, Sequence[str], Sequence[Sequence[float]]]]
    """(which head, pieces, weights)."""
    neighbours: Sequence[tuple[str, Sequence[tuple[str, float]]]]
    """(piece, the pieces nearest to it with their cosine)."""
    samples: Sequence[tuple[float, str, str]]
    """(temperature, beginning, what the model wrote)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TuningFacts:
    """What the second training, on names and summaries, changed."""

    pairs: int
    held_out: int
    tries: int
    """Answers written to each name, of which the most typical counts."""
    scores: Mapping[str, float]
    """ROUGE-L in per cent of `ASKED_ALIKE`, `BEFORE`, `COPIED` and `AFTER`."""
    bits: tuple[float, float]
    """Bits per byte of the held-out summaries, before and after."""
    examples: Sequence[tuple[str, str, str, str, str]]
    """(name and signature, true summary, before, after, copied)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class QuickstartFacts:
    """Everything the report tells."""

    machine: str
    """Processor, cores and measured speed, in words."""
    decisions: Sequence[tuple[str, str, str]]
    """(what, choice, reason)."""
    text: TextFacts
    learning: LearningFacts
    inside: InsideFacts
    tuning: TuningFacts | None
    """None where the text holds no names with summaries."""
    stages: Sequence[tuple[str, float, float]]
    """(stage, seconds, peak memory in MiB)."""
    commands: Sequence[tuple[str, str]]
    """(what for, command)."""


OURS = "this model"
"""What the model is called among its baselines."""
ASKED_ALIKE, BEFORE = "before, asked alike", "before, under a heading"
"""The base asked in the form it is then tuned on, and asked as its own text would: with a heading to go on from."""
COPIED, AFTER = "the nearest name's", "after tuning"
"""Copying the summary of the most similar name, and the tuned model."""


def quickstart_page(facts: QuickstartFacts) -> Page:
    """The page of one quickstart."""
    sections = [
        _choices(facts),
        _text(facts.text),
        _learning(facts.learning),
        _baselines(facts.learning),
        _cheap(facts.inside),
        _guesses(facts.inside),
        _attention(facts.inside),
        _neighbours(facts.inside),
        _samples(facts.inside),
        *([_tuning(facts.tuning)] if facts.tuning else []),
        _cost(facts),
        _next(facts),
    ]
    foot = parts.escape("Everything on this page is in this one file; opening it asks nothing of any network.")
    return Page(title="A language model, made on this machine", head=_head(facts), sections=sections, foot=foot)


def _head(facts: QuickstartFacts) -> str:
    learning, text = facts.learning, facts.text
    minutes = sum(seconds for _, seconds, _ in facts.stages) / 60
    lead = (
        f"From {text.bytes_out / 1e6:.1f} MB of {text.source} to a network of {learning.parameters / 1e6:.2f} million "
        f"numbers that predicts such text, in {minutes:.1f} minutes. It has learnt the grammar and the habits of its "
        "text, not wisdom: this page shows what, and how well."
    )
    ours = learning.bits_per_byte[OURS]
    beaten = [name for name, bits in learning.bits_per_byte.items() if name != OURS and bits > ours]
    facts_shown = [
        (f"{ours:.2f}", f"bits to tell a byte of unseen text, of 8; better than {_listed(beaten) or 'no baseline'}"),
        (f"{learning.parameters / 1e6:.2f} M", "parameters"),
        (f"{learning.tokens / 1e6:.2f} M", f"tokens read in {learning.steps:,} steps"),
        (f"{learning.tokens_per_second:,.0f}", "tokens a second"),
    ]
    return parts.paragraph(lead, "lead") + parts.paragraph(facts.machine, "quiet") + parts.cards(facts_shown)


def _choices(facts: QuickstartFacts) -> Section:
    body = parts.paragraph("The machine was measured and the time was known; the rest follows.")
    return Section(title="What was chosen, and why", body=body + parts.table(("", "choice", "why"), facts.decisions))


def _text(text: TextFacts) -> Section:
    removed = sum(text.removed.values())
    funnel = [("read", text.documents_in, f"{text.documents_in:,}")]
    left = text.documents_in
    for rule, count in text.removed.items():
        left -= count
        funnel.append((f"− {rule}", left, f"−{count:,}"))
    funnel.append(("kept", text.documents_out, f"{text.documents_out:,}"))
    body = parts.paragraph(
        f"{text.documents_in:,} documents came in and {text.documents_out:,} were kept; {removed:,} were removed, each "
        f"by a rule that can be named. {text.bytes_in / 1e6:.2f} MB became {text.bytes_out / 1e6:.2f} MB."
    )
    body += parts.bars(funnel)
    body += "<h3>Split</h3>" + parts.table(
        ("part", "documents", "tokens"), [(name, *counts) for name, counts in text.splits.items()]
    )
    body += parts.paragraph(
        "The split goes by module or folder: no text of a held-out one was trained on, so what is scored is new.",
        "note",
    )
    pieces = " ".join(f"<code>{parts.escape(parts.visible(piece))}</code>" for piece in text.pieces)
    body += f"<h3>The longest of its {text.vocabulary_size:,} pieces</h3><p>{pieces}</p>"
    return Section(title="The text", body=body)


def _learning(learning: LearningFacts) -> Section:
    series = [
        ("training text", "second", *_unzipped(learning.train)),
        ("unseen text", "first", *_unzipped(learning.validation)),
    ]
    caption = "Bits per byte: how many bits it takes, on average, to tell the next byte. Lower is better."
    body = parts.lines(series, x="step", y="bits per byte", label="Loss over the steps of training", caption=caption)
    return Section(title="How it learnt", body=body)


def _baselines(learning: LearningFacts) -> Section:
    ordered = sorted(learning.bits_per_byte.items(), key=lambda item: -item[1])
    items = [(name, bits, "first" if name == OURS else "muted") for name, bits in ordered]
    body = parts.paragraph(
        "The same unseen text, told by others: n-grams count which token follows which (the same tokens, Witten-Bell "
        "smoothing); xz is a compressor that has read the training text before."
    )
    label = ", ".join(f"{name} {bits:.2f}" for name, bits in ordered)
    body += parts.columns(items, unit="bits per byte", label=f"Bits per byte: {label}")
    return Section(title="Against simpler things", body=body)


def _cheap(inside: InsideFacts) -> Section:
    body = parts.paragraph("What the model is sure of, and what surprises it, by the kind of character.")
    names, unigram, ours = zip(*inside.kinds, strict=True)
    series = [("unigram", "muted", unigram), (OURS, "first", ours)]
    caption = "The bits of a token are shared out evenly over its bytes."
    body += parts.grouped(names, series, unit="bits per byte", label="Bits by kind of character", caption=caption)
    typical = sum(bits for _, bits in inside.shaded) / max(len(inside.shaded), 1)
    body += "<h3>A text it had never seen</h3>"
    body += '<p class="note">expected<span class="legend"></span>surprising (rest on a word to read its bits)</p>'
    body += parts.shaded_text(inside.shaded, typical)
    return Section(title="What became cheap", body=body)


def _guesses(inside: InsideFacts) -> Section:
    body = parts.paragraph("Unseen texts, cut off: what it thinks comes next, and what really came.")
    blocks = []
    for beginning, truth, guesses in inside.guesses:
        rows = [(parts.visible(piece), chance, f"{chance:.0%}") for piece, chance in guesses]
        really = f'<p class="note">really: <code>{parts.escape(parts.visible(truth))}</code></p>'
        blocks.append(f"<div>{parts.text('', beginning)}{parts.bars(rows)}{really}</div>")
    return Section(title="What it expects next", body=body + f'<div class="guesses">{"".join(blocks)}</div>')


def _attention(inside: InsideFacts) -> Section:
    body = parts.paragraph(
        "To predict what follows a piece, the network looks back. Each row is a piece and shows where one head looks, "
        "the darker the more."
    )
    maps = "".join(
        parts.heatmap(weights, pieces, label=f"Attention of {name}", caption=name)
        for name, pieces, weights in inside.maps
    )
    return Section(title="Where it looks", body=body + f'<div class="maps">{maps}</div>')


def _neighbours(inside: InsideFacts) -> Section:
    body = parts.paragraph(
        "Nobody told it what words mean. Pieces that are used alike have come to lie close together in its embedding "
        "(cosine similarity in brackets)."
    )
    rows = [
        (parts.visible(piece), ",  ".join(f"{parts.visible(other)} ({cosine:.2f})" for other, cosine in near))
        for piece, near in inside.neighbours
    ]
    return Section(title="What became alike", body=body + parts.table(("piece", "nearest"), rows))


def _samples(inside: InsideFacts) -> Section:
    body = parts.paragraph("The same beginnings, at rising temperature: from the safest choice to the boldest.")
    blocks = [
        f"<div><h3>temperature {temperature:g}</h3>{parts.text(written, beginning)}</div>"
        for temperature, beginning, written in inside.samples
    ]
    return Section(title="What it writes", body=body + f'<div class="samples">{"".join(blocks)}</div>')


def _tuning(tuning: TuningFacts) -> Section:
    before, after = tuning.bits
    body = parts.paragraph(
        f"The network was then trained on {tuning.pairs:,} pairs: a name with its signature, and the first sentence of "
        f"its documentation. Here it writes that sentence for {tuning.held_out:,} names of modules it has never seen; "
        f"of {tuning.tries} tries the one counts that is most like the others. ROUGE-L compares words and their order "
        "with the true sentence."
    )
    body += parts.paragraph(
        "Before tuning it did not know what to do when asked; given a heading as in its own text it could go on. "
        "Copying takes the summary of the most similar name among those trained on."
    )
    items = [(name, score, "first" if name == AFTER else "muted") for name, score in tuning.scores.items()]
    label = ", ".join(f"{name} {score:.1f}" for name, score in tuning.scores.items())
    body += parts.columns(items, unit="ROUGE-L, per cent", label=f"ROUGE-L: {label}")
    body += parts.paragraph(
        f"To tell the true sentences, {before:.2f} bits per byte were needed under a heading before tuning, and "
        f"{after:.2f} after it when asked.",
        "note",
    )
    labels = ("truth", "before", "after", "copied")
    body += "".join(parts.compared(name, zip(labels, texts, strict=True)) for name, *texts in tuning.examples)
    return Section(title="Taught to summarise", body=body)


def _cost(facts: QuickstartFacts) -> Section:
    rows = [(name, seconds, f"{seconds:.1f} s") for name, seconds, _ in facts.stages]
    memory = [(name, peak, f"{peak:,.0f} MiB") for name, _, peak in facts.stages]
    total, most = sum(row[1] for row in rows), max(row[1] for row in memory)
    body = parts.paragraph(f"{total:.0f} seconds in all, and at most {most:,.0f} MiB of memory.")
    body += "<h3>Time</h3>" + parts.bars(rows) + "<h3>Peak memory</h3>" + parts.bars(memory, muted=True)
    return Section(title="What it cost", body=body)


def _next(facts: QuickstartFacts) -> Section:
    body = "".join(
        f"<h3>{parts.escape(purpose)}</h3><pre>{parts.escape(command)}</pre>" for purpose, command in facts.commands
    )
    return Section(title="Your turn", body=body)


def _unzipped(points: Sequence[tuple[int, float]]) -> tuple[list[float], list[float | None]]:
    return [float(x) for x, _ in points], [y for _, y in points]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + names[-1] if names else ""
