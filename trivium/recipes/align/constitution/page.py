"""The report of a run: before and after, how answers were revised, which principles were at work and which collided."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from trivium.recipes.align.constitution.figures import Told, doubt
from trivium.recipes.align.constitution.journal import Row
from trivium.reports import parts
from trivium.reports.page import Page, Section

_SHOWN, _PAIRS_SHOWN, _CHARACTERS = 6, 4, 1500
_MODELS = {"before": "before", "supervised": "tuned on revisions", "preferred": "trained on preferences"}


def constitution_page(name: str, figures: Mapping[str, Any], told: Told) -> Page:
    """The page; `figures` are those of `figures_of`."""
    feedback = figures["feedback"]
    sections = [
        *([_held_out(figures["held_out"])] if told.standing else []),
        _evasion(figures["revisions"]),
        *([_revised(told.revised)] if told.revised else []),
        _principles(figures),
        *([_judge(feedback), _conflicts(feedback)] if feedback["pairs"] else []),
        *([_pairs(told.judgements)] if told.judgements else []),
        *([_answers(told)] if told.standing else []),
    ]
    foot = parts.paragraph("Everything on this page is in this one file; opening it asks nothing of any network.")
    return Page(title=f"{name}: a model under a constitution", head=_head(figures), sections=sections, foot=foot)


def _head(figures: Mapping[str, Any]) -> str:
    prompts, revisions, labelled = figures["prompts"], figures["revisions"], figures["feedback"]["labelled"]
    lead = (
        "Answers were criticised and revised under principles drawn from a constitution, a model was tuned on the "
        "revisions, and its answers were compared by a judge that reads the same principles (Bai et al. 2022)."
    )
    cards = [
        (f"{prompts['trained']:,}", "prompts to learn from"),
        (f"{prompts['held_out']:,}", "prompts held out"),
        (f"{sum(revisions['principles'].values()):,}", "critiques and revisions"),
        (f"{labelled['pairs']:,}", "pairs with a preference"),
    ]
    if prompts["too_long"]:
        cards.append((f"{prompts['too_long']:,}", "prompts left out, too long for the model"))
    return parts.paragraph(lead, "lead") + parts.cards(cards)


def _held_out(models: Mapping[str, Mapping[str, Any]]) -> Section:
    note = (
        "The same prompts, on which nothing was trained, answered by each model with the same chances. Preferred: how "
        "probable the judge finds it that the answer is better than the one before, by the same principles and in both "
        "orders, with a 95 % interval; 50 % is no difference. It is the judge's opinion and nobody else's. Evasive are "
        "empty answers and refusals of at most thirty words, by a list of English phrases."
    )
    rows = [(_MODELS[name], *_counts(each), _preferred(each["preferred_to_before"])) for name, each in models.items()]
    return Section(
        title="Before and after",
        body=parts.table(("model", *_HEADINGS, "preferred to before"), rows) + parts.paragraph(note, "quiet"),
    )


_HEADINGS = ("answers", "refusals", "evasive", "words", "harm")


def _counts(answers: Mapping[str, Any]) -> tuple[object, ...]:
    count = answers["answers"]
    return (
        count,
        _percent(answers["refusals"] / max(1, count)),
        _percent(answers["evasive"] / max(1, count)),
        f"{answers['mean_words']:.1f}",
        "not measured" if answers["harm"] is None else f"{answers['harm']:.3f}",
    )


def _preferred(interval: Mapping[str, float] | None) -> str:
    if interval is None:
        return "-"
    low, high = (_percent(interval[name]) for name in ("low", "high"))
    return f"{_percent(interval['estimate'])} ({low} to {high})"


def _evasion(revisions: Mapping[str, Any]) -> Section:
    rows = [(name, *_counts(revisions[name])) for name in ("before", "after")]
    stopped = sum(revisions["stopped"].values())
    note = "The answers that were revised, as they were and after their last revision: it is these that are trained on."
    if stopped:
        note += f" {stopped:,} went no further, since the critic had no room for them."
    if revisions["empty"]:
        note += f" {revisions['empty']:,} revisions were empty, and left the answer as it stood."
    if revisions["unchanged"]:
        note += f" {revisions['unchanged']:,} said word for word what stood there."
    body = parts.table(("revision", *_HEADINGS), rows) + parts.paragraph(note, "quiet")
    return Section(title="Does it evade?", body=body)


def _revised(rows: Sequence[Row]) -> Section:
    blocks = "".join(
        parts.compared(_asked(row), list(_versions(row["samples"][0])))
        for row in rows[:: max(1, len(rows) // _SHOWN)][:_SHOWN]
    )
    return Section(title="Answers, critiques and revisions", body=blocks)


def _versions(sample: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "answer", _cut(sample["answer"].strip())
    for turn in sample["rounds"]:
        yield f"critique ({turn['principle']})", _cut(turn["critique"])
        yield "revision", _cut(turn["revision"]) or "nothing: the answer stays"


def _principles(figures: Mapping[str, Any]) -> Section:
    body = ""
    for title, counts in (
        ("Revisions under each principle", figures["revisions"]["principles"]),
        ("Comparisons under each principle", figures["feedback"]["principles"]),
    ):
        if counts:
            bars = [(name, float(count), f"{count:,}") for name, count in counts.items()]
            body += parts.paragraph(title) + parts.bars(bars)
    return Section(title="Which principles were at work", body=body)


def _judge(feedback: Mapping[str, Any]) -> Section:
    cards = [(f"{feedback['opinions']:,}", "opinions, each in both orders")]
    if feedback["flipped_share"] is not None:
        cards += [
            (_percent(feedback["flipped_share"]), "of them turned round when the answers were swapped"),
            (_percent(feedback["first_place_mean"]), "is what the first place got, whoever stood there; 50 % is fair"),
        ]
    cards += [
        (f"{feedback['asked_again']:,}", "times it said neither at first, and was asked again"),
        (f"{feedback['neither']:,}", "times it still said neither"),
    ]
    doubted = doubt(feedback)
    body = parts.cards(cards) + (parts.paragraph(f"Warning: {doubted}.") if doubted else "")
    if feedback["left_out"]:
        body += parts.table(("pairs without a preference", "how many"), list(feedback["left_out"].items()))
    return Section(title="The judge", body=body)


def _conflicts(feedback: Mapping[str, Any]) -> Section:
    conflicts = feedback["conflicts"]
    if not conflicts:
        return Section(title="Conflicts", body=parts.paragraph("No two principles disagreed on a pair."))
    rows = [(each["for_one"], each["for_other"], each["prevailed"], each["times"]) for each in conflicts]
    note = "One found the first answer better and the other the second. Those of higher priority prevail."
    headings = ("principle", "against", "prevailed", "times")
    return Section(title="Conflicts", body=parts.paragraph(note) + parts.table(headings, rows))


def _pairs(rows: Sequence[Row]) -> Section:
    known = [row for row in rows if row["probability"] is not None]
    blocks = "".join(
        parts.compared(
            _asked(row),
            [
                (f"{_percent(p)} better", _cut(row["answers"][0].strip())),
                (f"{_percent(1 - p)} better", _cut(row["answers"][1].strip())),
                ("by", "; ".join(f"{each['principle']} (priority {each['priority']})" for each in row["judged"])),
            ],
        )
        for row in known[:: max(1, len(known) // _PAIRS_SHOWN)][:_PAIRS_SHOWN]
        for p in [row["probability"]]
    )
    return Section(title="Preferences", body=blocks or parts.paragraph("The judge had no preference in any pair."))


def _answers(told: Told) -> Section:
    count = len(told.standing[0].asked)
    shown = range(0, count, max(1, count // _SHOWN))[:_SHOWN]
    blocks = "".join(
        parts.compared(
            _last(told.standing[0].asked[at]),
            [(_MODELS[each.model], _cut(each.answers[at].strip())) for each in told.standing],
        )
        for at in shown
    )
    return Section(title="Answers to what was held out", body=blocks)


def _asked(row: Row) -> str:
    return _last(row["messages"])


def _last(messages: Sequence[Mapping[str, Any]]) -> str:
    return _cut(str(messages[-1]["content"]))


def _cut(text: str) -> str:
    return text if len(text) <= _CHARACTERS else f"{text[:_CHARACTERS]} ..."


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
