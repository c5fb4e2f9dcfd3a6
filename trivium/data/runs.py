"""Which runs were trained on given data, or made from one that was; read from what their folders say."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True, kw_only=True)
class RunThatSaw:
    """A run, or a saved model outside of any, that learnt from the data."""

    folder: Path
    """Where it lies."""
    because: str
    """"trained on it", or "made from FOLDER"."""


@dataclass(frozen=True, kw_only=True)
class _Saved:
    """What one folder with a `trivium.json` says."""

    folder: Path
    run: Path
    """The run it is a checkpoint of; itself where it is none."""
    described: Mapping[str, Any]
    weights: frozenset[str]
    """SHA-256 of its files of weights, as its manifest says."""

    @property
    def parents(self) -> list[tuple[Any, Any]]:
        """(path or id, SHA-256 of the weights) of what it was made from."""
        names = ("parent", "adapter")
        return [(self.described.get(name), self.described.get(f"{name}_sha256")) for name in names]


def runs_that_saw(fingerprints: set[str], prepared: Path, roots: Sequence[Path]) -> tuple[RunThatSaw, ...]:
    """Every run below ``roots`` that was trained on data of one of ``fingerprints``, then what was made from them.

    A run that has saved nothing yet counts where its configuration names the folder ``prepared``.
    """
    saved = [found for root in roots for found in _saved_below(root)]
    seen = {each.run: "trained on it" for each in saved if each.described.get("data_fingerprint") in fingerprints}
    told = {each.run for each in saved if "data_fingerprint" in each.described}
    naming = (run for root in roots for run in _runs_naming(prepared, root))
    seen |= {run: "trained on it" for run in naming if run not in told}
    size = -1
    while size < len(seen):  # what was made from these, and from those in turn
        size = len(seen)
        weights = {digest: each.run for each in saved if each.run in seen for digest in each.weights}
        for each in saved:
            parent = _parent_among(each, seen, weights)
            if each.run not in seen and parent is not None:
                seen[each.run] = f"made from {parent}"
    return tuple(RunThatSaw(folder=run, because=why) for run, why in seen.items())


def _parent_among(saved: _Saved, seen: Mapping[Path, str], weights: Mapping[str, Path]) -> Path | None:
    resolved = {run.resolve(): run for run in seen}
    for name, digest in saved.parents:
        if digest in weights:
            return weights[digest]
        if not isinstance(name, str):
            continue
        for start in (Path(), saved.folder, *saved.folder.resolve().parents):
            place = (start / name).resolve()
            run = next((resolved[p] for p in (place, *place.parents) if p in resolved), None)
            if run is not None:
                return run
    return None


def _saved_below(root: Path) -> Iterator[_Saved]:
    for path in sorted(root.rglob("trivium.json")):
        described = _read_json(path)
        folder = path.parent
        files = _read_json(folder / "manifest.json").get("files", {})
        digests = (facts.get("sha256") for name, facts in files.items() if name.endswith(".safetensors"))
        yield _Saved(folder=folder, run=_run_of(folder), described=described, weights=frozenset(filter(None, digests)))


def _runs_naming(prepared: Path, root: Path) -> Iterator[Path]:
    """Runs whose configuration says `data: FOLDER`."""
    for path in sorted(root.rglob("config.yaml")):
        try:
            named = yaml.safe_load(path.read_text(encoding="utf-8")).get("data")
        except (OSError, ValueError, AttributeError, yaml.YAMLError, RecursionError):
            continue
        starts = (Path(), *path.resolve().parents)
        if isinstance(named, str) and any((start / named).resolve() == prepared.resolve() for start in starts):
            yield path.parent


def _run_of(folder: Path) -> Path:
    """The run that a checkpoint belongs to: `RUN/checkpoints/step-...`."""
    return folder.parent.parent if folder.parent.name == "checkpoints" else folder


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
