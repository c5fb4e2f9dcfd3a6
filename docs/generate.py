"""Writes the parts of the documentation that come from the code: the table of architectures in README.md."""

import pathlib

from trivium.cli.numbers import readable_count
from trivium.models.table import Row, architectures

README = pathlib.Path(__file__).parent.parent / "README.md"
_BEGIN = "<!-- architectures: written by docs/generate.py -->"
_END = "<!-- /architectures -->"


def table() -> str:
    """The architectures as a Markdown table, in the order of history."""
    lines = ["| Year | Name | Kind | Paper | From | Opens in `transformers` |", "|---|---|---|---|---|---|"]
    return "\n".join([*lines, *(_line(row) for row in architectures())])


def rewritten(text: str) -> str:
    """README text with the table brought up to date."""
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}\n{table()}\n{_END}{after}"


def _line(row: Row) -> str:
    sizes = ", ".join(f"{name} {readable_count(count)}" for name, count in row.parameters.items())
    name = f"`{row.name}`" + (f" ({sizes})" if sizes else "")
    return f"| {row.year} | {name} | {row.kind} | {row.paper} | {row.developer} | {'yes' if row.loads else 'no'} |"


if __name__ == "__main__":
    README.write_text(rewritten(README.read_text(encoding="utf-8")), encoding="utf-8")
