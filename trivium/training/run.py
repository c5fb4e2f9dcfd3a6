"""A run is a folder: what was asked, what happened, what was saved. It can be resumed, compared and opened.

    config.yaml       the resolved configuration
    metrics.jsonl     one line a logged step, with the keys of `METRICS` and then the objective's own
    checkpoints/      step-00001000/ ..., and the links "best" and "last"
    samples/          texts written along the way
    report.html

The first process writes it; the others only know where it is.
"""

import json
import math
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import yaml

from trivium.checkpoints.folder import clear_leftovers, replace_file
from trivium.checkpoints.retention import saved_steps, step_folder
from trivium.config import read_yaml
from trivium.errors import ConfigError, DataError, StorageError
from trivium.runtime.processes import barrier, place

METRICS = (
    "step",
    "tokens",
    "seconds",
    "loss",
    "validation_loss",
    "learning_rate",
    "gradient_norm",
    "tokens_per_second",
    "skipped",
)
"""The keys of a line of metrics.jsonl: updates done; tokens trained on so far; seconds of work so far; mean loss since
the line before (nats); validation loss or null; rate and gradient norm of the last update; speed since the line before;
updates skipped so far."""

# What may be asked differently of a run that goes on: when it stops, speaks and saves, not what it computes.
_FREE = {"minutes", "log_every_steps", "evaluate_every_steps", "checkpoint_every_steps", "keep_last", "keep_best"}


class Run:
    """The folder of one run. Made by `Run.start` for work, or by `Run.open` for reading."""

    def __init__(self, folder: str | pathlib.Path):
        self.folder = pathlib.Path(folder)
        self.checkpoints = self.folder / "checkpoints"
        self.samples = self.folder / "samples"
        self.report = self.folder / "report.html"
        self.metrics_path = self.folder / "metrics.jsonl"

    @classmethod
    def start(cls, folder: str | pathlib.Path, config: Mapping[str, Any], *, resume: bool = False) -> "Run":
        """A new run with this resolved configuration (plain YAML values), or with `resume` the one that is there.

        Raises `StorageError` where a new run would overwrite an old one or the folder cannot be written, and
        `ConfigError` listing every setting that differs from the run to be resumed.
        """
        run = cls(folder)
        exists = (run.folder / "config.yaml").is_file()
        if resume and not exists:
            raise StorageError("there is no run to resume", received=run.folder, fix="start it without --resume")
        if exists and not resume:
            raise StorageError(
                "there is a run in this folder already",
                received=run.folder,
                fix="go on with it with --resume, or choose another folder with --run",
            )
        if resume:
            run._require_same(config)
        barrier()  # a process that looks late would find the run that the first one begins
        if place().is_first:
            run._prepare(config, new=not exists)
        barrier()
        return run

    @classmethod
    def open(cls, folder: str | pathlib.Path) -> "Run":
        """A run to read. Raises `DataError` where there is none."""
        run = cls(folder)
        if not (run.folder / "config.yaml").is_file():
            raise DataError("there is no run in this folder", received=folder, expected="config.yaml, metrics.jsonl")
        return run

    @property
    def config(self) -> dict[str, Any]:
        """The resolved configuration."""
        return read_yaml(self.folder / "config.yaml")

    def metrics(self) -> list[dict[str, Any]]:
        """Every line of metrics.jsonl, oldest first; a line torn by a crash is left out."""
        return list(_lines(self.metrics_path))

    def log(self, row: Mapping[str, Any]) -> None:
        """Adds a line to metrics.jsonl; numbers that are not finite are written as null."""
        assert _begins_rightly(row), f"the keys of a line begin with {METRICS}, not {tuple(row)}"
        if place().is_first:
            with self.metrics_path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({name: _json_number(value) for name, value in row.items()}) + "\n")

    def flush(self) -> None:
        """Forces metrics.jsonl to disk, so that no checkpoint is ahead of it."""
        if place().is_first and self.metrics_path.exists():
            with self.metrics_path.open("rb") as file:
                os.fsync(file.fileno())

    def forget_after(self, step: int) -> None:
        """Drops the lines after `step`, which a resumed run will write again."""
        if place().is_first:
            kept = [json.dumps(row) + "\n" for row in self.metrics() if row["step"] <= step]
            replace_file(self.metrics_path, "".join(kept).encode())

    def saved_steps(self) -> list[int]:
        """The steps of the finished checkpoints, ascending."""
        return saved_steps(self.checkpoints)

    def checkpoint(self, step: int) -> pathlib.Path:
        """The folder of the checkpoint after `step` updates."""
        return step_folder(self.checkpoints, step)

    def _prepare(self, config: Mapping[str, Any], *, new: bool) -> None:
        try:
            for folder in (self.checkpoints, self.samples):
                folder.mkdir(parents=True, exist_ok=True)
            clear_leftovers(self.checkpoints)
        except OSError as error:
            raise StorageError(
                "the run's folder cannot be made",
                received=f"{self.folder} ({error.strerror})",
                fix="choose another folder with --run",
            ) from error
        if new:
            text = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)
            replace_file(self.folder / "config.yaml", text.encode())

    def _require_same(self, config: Mapping[str, Any]) -> None:
        before, now = dict(_flat(self.config)), dict(_flat(config))
        differing = [
            f"{name}: was {before.get(name, 'not set')}, is {now.get(name, 'not set')}"
            for name in sorted(before.keys() | now.keys())
            if before.get(name) != now.get(name) and name.rpartition(".")[2] not in _FREE
        ]
        if differing:
            raise ConfigError(
                f"the run in {self.folder} was started with another configuration",
                received="\n".join(differing),
                expected="the same settings, so that it goes on as if it had never stopped",
                fix="set them back, or start a new run from its last checkpoint",
            )


def compare(runs: Iterable[Run]) -> list[dict[str, Any]]:
    """One row a run: its folder, its last line, its lowest validation loss, and the settings in which runs differ."""
    runs = list(runs)
    settings = [dict(_flat(run.config)) for run in runs]
    names = sorted({name for each in settings for name in each})
    differing = [name for name in names if len({repr(each.get(name)) for each in settings}) > 1]
    rows = []
    for run, each in zip(runs, settings, strict=True):
        lines = run.metrics()
        losses = [line["validation_loss"] for line in lines if line["validation_loss"] is not None]
        row: dict[str, Any] = {"run": str(run.folder)}
        row |= lines[-1] if lines else dict.fromkeys(METRICS)
        row["best_validation_loss"] = min(losses, default=None)
        row["settings"] = {name: each.get(name) for name in differing}
        rows.append(row)
    return rows


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of nested mappings with its dotted path; a list is a leaf."""
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _flat(inner, f"{path}.{name}" if path else str(name))
    else:
        yield path, list(value) if isinstance(value, tuple) else value


def _lines(path: pathlib.Path) -> Iterator[dict[str, Any]]:
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict) and _begins_rightly(row):
                yield row


def _begins_rightly(row: Mapping[str, Any]) -> bool:
    return tuple(row)[: len(METRICS)] == METRICS


def _json_number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value
