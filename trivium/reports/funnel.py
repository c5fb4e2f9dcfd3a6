"""What `trivium prepare` tells: what came in and where it went; on the page it leaves, some of the lost as well."""

from collections.abc import Mapping, Sequence
from typing import Any

from trivium.data.balance import table
from trivium.data.mixtures import Part, Plan
from trivium.reports import parts
from trivium.reports.page import Page, Section

_REMOVED, _CHANGED, _PASSED_OVER = "documents_removed", "documents_changed", "file passed over"


def funnel_page(manifest: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Page:
    """The page about a prepared folder, from its manifest and its funnel."""
    sides = manifest["sides"]
    came, kept = manifest["documents_in"], left_after(manifest, rows)[-1][1]
    head = parts.cards(
        [
            (f"{came:,}", f"documents came in, {_megabytes(manifest['bytes_in'])}"),
            (f"{kept:,}", f"were kept, {kept / max(came, 1):.1%}, {_megabytes(manifest['bytes_out'])}"),
            (f"{sides['train']['tokens']:,}", "tokens to train on"),
            (f"{sides['validation']['tokens']:,}", f"tokens to validate on, held out by {manifest['split']}"),
        ]
    )
    steps = (_step(row) for row in rows if _count(row))
    sections = [_funnel(manifest, rows), *steps, *_balance(manifest), *_mixture(manifest), _sources(manifest)]
    foot = parts.paragraph("Everything on this page is in this one file; opening it asks nothing of any network.")
    return Page(title="What became of the text", head=head, sections=sections, foot=foot)


def funnel_text(manifest: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    """The same for a terminal, without the examples."""
    passed = sum(row[_REMOVED] for row in rows if row["stage"] == _PASSED_OVER)
    changed = [f"{row['rule']} {row[_CHANGED]:,}" for row in rows if row.get(_CHANGED)]
    removed = [(rule, f"−{count:,}", f"{left:,} left") for rule, left, count in left_after(manifest, rows)[1:]]
    sides = manifest["sides"]
    told = [
        ("read", f"{manifest['documents_in']:,} documents", _megabytes(manifest["bytes_in"])),
        *removed,
        ("to train on", f"{sides['train']['tokens']:,} tokens", _megabytes(sides["train"]["text_bytes"])),
        (
            f"held out by {manifest['split']}",
            f"{sides['validation']['tokens']:,} tokens",
            _megabytes(sides["validation"]["text_bytes"]),
        ),
    ]
    lines = _columns(told)
    if changed:
        lines.append(f"changed: {', '.join(changed)}")
    if passed:
        lines.append(f"passed over: {passed:,} files or records; passed_over.jsonl says which, and why")
    for by, counted in manifest.get("balance", {}).items():
        if by != "group" and is_told(counted):
            sizes = [
                (n, f"{s.documents:,} documents", f"{s.tokens:,} tokens", f"{p:.1%}") for n, s, p in table(counted)
            ]
            lines += ["", f"by {by}", *_columns(sizes)]
    return "\n".join(lines)


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of text: the first column at the left, figures at the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))]
        ).rstrip()
        for row in rows
    ]


def left_after(manifest: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, int, int]]:
    """(rule, documents left after it, documents it removed) of each rule that removed some, after ("read", all, 0)."""
    left = manifest["documents_in"]
    found = [("read", left, 0)]
    for row in rows:
        removed = row.get(_REMOVED, 0)
        if row["stage"] != _PASSED_OVER and removed:
            left -= removed
            found.append((row["rule"], left, removed))
    return found


def _funnel(manifest: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Section:
    """What is left after each rule, as bars of one scale."""
    items = [
        (rule, float(left), f"{left:,}  (−{removed:,})" if removed else f"{left:,}")
        for rule, left, removed in left_after(manifest, rows)
    ]
    body = parts.paragraph("Documents that are left after each rule.") + parts.bars(items)
    return Section(title="The funnel", body=body)


def _step(row: Mapping[str, Any]) -> Section:
    removed, changed = row.get(_REMOVED, 0), row.get(_CHANGED, 0)
    if row["stage"] == _PASSED_OVER:
        told = f"{removed:,} files or records gave no document."
    elif removed:
        told = f"Removed {removed:,} documents, {_megabytes(row['bytes'])}."
    else:
        told = f"Changed {changed:,} documents, which lost {_megabytes(row['bytes'])}."
    body = parts.paragraph(told)
    sources, details = row.get("sources", {}), row.get("details", {})
    if len(sources) > 1:
        body += parts.bars([(name, float(count), f"{count:,}") for name, count in sources.items()], muted=True)
    if details:
        body += parts.bars([(name, float(count), f"{count:,}") for name, count in details.items()], muted=True)
    body += "".join(_example(example) for example in row["examples"])
    return Section(title=row["rule"], body=body)


def _example(example: Mapping[str, str]) -> str:
    reason = f": {example['reason']}" if "reason" in example else ""
    return parts.paragraph(example["id"] + reason, "note") + (parts.text(example["text"]) if "text" in example else "")


def _balance(manifest: Mapping[str, Any]) -> list[Section]:
    """What there is to train on, where it is told and there is more than one kind of it."""
    return [
        Section(
            title=f"By {by}",
            body=parts.paragraph("What there is to train on; a document that is read twice counts twice.")
            + parts.table(
                (by, "documents", "text", "tokens", "share of the text"),
                [
                    (name, size.documents, _megabytes(size.bytes), size.tokens, f"{share:.1%}")
                    for name, size, share in table(told)
                ],
            ),
        )
        for by, told in manifest.get("balance", {}).items()
        if is_told(told)
    ]


def is_told(told: Mapping[str, Any]) -> bool:
    """Whether it is worth showing what a manifest tells of a balance: not where nobody said what the documents are."""
    return told["names"] > 1


def _mixture(manifest: Mapping[str, Any]) -> list[Section]:
    """How often everything is read, where that was asked for."""
    if not manifest.get("mixture"):
        return []
    told = Plan(parts={name: Part(**values) for name, values in manifest["mixture"].items()})
    rows = [
        (
            name,
            f"{part.passes:.3f}",
            f"{part.tokens:,.0f}",
            f"{part.share:.2%}",
            f"{part.wanted:.2%}",
        )
        for name, part in told.parts.items()
    ]
    body = parts.paragraph(f"How often everything is read, to learn from {told.tokens:,.0f} tokens in all.")
    if told.capped:
        body += parts.paragraph(f"More of these was wanted than so many passes give: {', '.join(told.capped)}.")
    body += parts.table(("", "passes", "tokens", "share", "wanted"), rows)
    return [Section(title="The mixture", body=body)]


def _sources(manifest: Mapping[str, Any]) -> Section:
    rows = [
        (row["source"], row["documents"], _megabytes(row["bytes"]), ", ".join(row["licences"]), row["sha256"][:12])
        for row in manifest["sources"]
    ]
    body = parts.table(("source", "documents", "text", "licences", "SHA-256"), rows)
    return Section(title="Where it comes from", body=body)


def _count(row: Mapping[str, Any]) -> int:
    return row.get(_REMOVED, 0) + row.get(_CHANGED, 0)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.2f} MB" if size >= 10_000 else f"{size:,} bytes"
