"""The README.md of a model or adapter folder: what it is, what it was made from, how to use it."""

from collections.abc import Mapping, Sequence
from typing import Any

_EXAMPLE = 'print(model.generate("Once", max_new_tokens=40)[0].text)'
_LIMITS = (
    "",
    "## Limits",
    "",
    "It says what its training text made likely, not what is true; nobody has checked it for harm or bias.",
    "",
)


def model_card(hf: Mapping[str, Any], described: Mapping[str, Any], parameters: int) -> str:
    """Markdown with the metadata block that model hubs read. `hf` is config.json, `described` is trivium.json."""
    kind = hf["model_type"]
    lines = ["---", "library_name: trivium", f"tags: [{kind}, trivium]", "---", "", f"# A {kind} model", ""]
    lines += [f"- parameters: {parameters:,}", f"- vocabulary: {hf.get('vocab_size', 'see config.json')}"]
    return "\n".join([*lines, *_facts(described), *_use(['model = trivium.load("this-folder")', _EXAMPLE]), *_LIMITS])


def adapter_card(options: Mapping[str, Any], described: Mapping[str, Any], own: int, base: int) -> str:
    """The README.md of an adapter's folder. `options` is adapter_config.json, `described` is trivium.json; the adapter
    has `own` numbers and its base so many."""
    kind = options["peft_type"]
    parent = described.get("parent") or options.get("base_model_name_or_path")
    library = "trivium" if kind.startswith("TRIVIUM_") else "peft"
    lines = ["---", f"library_name: {library}", f"tags: [{kind.lower()}, trivium]", "---", ""]
    lines += [f"# An adapter ({kind})", "", f"- parameters: {own:,} on {base:,} of the base ({own / base:.2%})"]
    lines += _facts({"base": parent, **{name: value for name, value in described.items() if name != "parent"}})
    use = ['model = trivium.load("this-folder")             # on the base that is named above', _EXAMPLE]
    return "\n".join([*lines, *_use(use), *_LIMITS])


def _facts(described: Mapping[str, Any]) -> list[str]:
    told = {name: value for name, value in described.items() if name not in ("model_type", "versions")}
    lines = [f"- {name.replace('_', ' ')}: {_shown(value)}" for name, value in told.items() if value is not None]
    versions = ", ".join(f"{name} {number}" for name, number in described["versions"].items())
    return [*lines, f"- made with: {versions}"]


def _use(code: Sequence[str]) -> list[str]:
    return ["", "## Use", "", "```python", "import trivium", "", *code, "```"]


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_shown(inner)}" for name, inner in value.items())
    return f"{value:.4f}" if isinstance(value, float) else str(value)
