"""The README.md of a model folder: what it is, what it was made from, how to use it."""

from collections.abc import Mapping
from typing import Any


def model_card(hf: Mapping[str, Any], described: Mapping[str, Any], parameters: int) -> str:
    """Markdown with the metadata block that model hubs read. `hf` is config.json, `described` is trivium.json."""
    kind = hf["model_type"]
    lines = ["---", "library_name: trivium", f"tags: [{kind}, trivium]", "---", "", f"# A {kind} model", ""]
    lines += [f"- parameters: {parameters:,}", f"- vocabulary: {hf.get('vocab_size', 'see config.json')}"]
    for name, value in described.items():
        if name not in ("model_type", "versions") and value is not None:
            lines.append(f"- {name.replace('_', ' ')}: {_shown(value)}")
    versions = ", ".join(f"{name} {number}" for name, number in described["versions"].items())
    lines += [
        f"- made with: {versions}",
        "",
        "## Use",
        "",
        "```python",
        "import trivium",
        "",
        'model = trivium.load("this-folder")',
        'print(model.generate("Once", max_new_tokens=40)[0].text)',
        "```",
        "",
        "## Limits",
        "",
        "It says what its training text made likely, not what is true; nobody has checked it for harm or bias.",
        "",
    ]
    return "\n".join(lines)


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_shown(inner)}" for name, inner in value.items())
    return f"{value:.4f}" if isinstance(value, float) else str(value)
