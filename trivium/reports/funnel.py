"""The page that `trivium prepare` leaves: what came in, where it went, and a few of the lost to look at."""

from collections.abc import Mapping, Sequence
from typing import Any

from trivium.reports import parts
from trivium.reports.page import Page, Section

_REMOVED, _CHANGED = "documents_removed", "documents_changed"


def funnel_page(manifest: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Page:
    """The page about a prepared folder, from its manifest and its funnel."""
    sides = manifest["sides"]
    kept = manifest["documents_out"] / max(manifest["documents_in"], 1)
    head = parts.cards(
        [
            (f"{manifest['documents_in']:,}", f"documents came in, {_megabytes(manifest['bytes_in'])}"),
            (f"{manifest['documents_out']:,}", f"were kept, {kept:.1%}, {_megabytes(manifest['bytes_out'])}"),
            (f"{sides['train']['tokens']:,}", "tokens to train on"),
            (f"{sides['validation']['tokens']:,}", f"tokens to validate on, held out by {manifest['split']}"),
        ]
    )
    sections = [_funnel(manifest, rows), *(_step(row) for row in rows if _count(row)), _sources(manifest)]
    foot = parts.paragraph("Everything on this page is in this one file; opening it asks nothing of any network.")
    return Page(title="What became of the text", head=head, sections=sections, foot=foot)


def _funnel(manifest: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Section:
    """What is left after each rule, as bars of one scale."""
    left = manifest["documents_in"]
    items = [("read", float(left), f"{left:,}")]
    for row in rows:
        removed = row.get(_REMOVED, 0)
        if row["stage"] == "file passed over" or not removed:
            continue
        left -= removed
        items.append((row["rule"], float(left), f"{left:,}  (−{removed:,})"))
    body = parts.paragraph("Documents that are left after each rule.") + parts.bars(items)
    return Section(title="The funnel", body=body)


def _step(row: Mapping[str, Any]) -> Section:
    removed, changed = row.get(_REMOVED, 0), row.get(_CHANGED, 0)
    if row["stage"] == "file passed over":
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
