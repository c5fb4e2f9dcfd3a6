"""Which checkpoints of a run are kept: the last few, to go on from, and the best few, to use."""

import pathlib
import re
from collections.abc import Iterable, Mapping

from trivium.checkpoints.folder import is_complete, remove_folder

_NAME = re.compile(r"step-(\d{8,})")


def step_folder(parent: pathlib.Path, step: int) -> pathlib.Path:
    """Where the checkpoint after `step` updates stands."""
    return parent / f"step-{step:08d}"


def saved_steps(parent: pathlib.Path) -> list[int]:
    """The steps of the finished checkpoints in `parent`, ascending."""
    if not parent.is_dir():
        return []
    found = ((_NAME.fullmatch(path.name), path) for path in parent.iterdir())
    return sorted(int(match[1]) for match, path in found if match and is_complete(path))


def steps_to_keep(steps: Iterable[int], scores: Mapping[int, float], *, last: int, best: int) -> set[int]:
    """The `last` latest of `steps`, and the `best` of them with the lowest score (of equals, the earlier)."""
    assert last >= 1, "a run that keeps no last checkpoint cannot be resumed"
    ordered = sorted(steps)
    scored = sorted((scores[step], step) for step in ordered if step in scores)
    return set(ordered[-last:]) | {step for _, step in scored[:best]}


def prune(parent: pathlib.Path, scores: Mapping[int, float], *, last: int, best: int) -> None:
    """Deletes the checkpoints in `parent` that are neither among the last nor among the best."""
    steps = saved_steps(parent)
    for step in set(steps) - steps_to_keep(steps, scores, last=last, best=best):
        remove_folder(step_folder(parent, step))


def step_of(link: pathlib.Path) -> int:
    """The step of the checkpoint that ``link`` leads to."""
    match = _NAME.fullmatch(link.resolve().name)
    assert match is not None, f"{link} leads to no checkpoint"
    return int(match[1])


def point_to(link: pathlib.Path, step: int) -> None:
    """Makes `link`, beside the checkpoints ("best", "last"), lead to the one of `step`, in one move."""
    fresh = link.with_name(f".{link.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(step_folder(link.parent, step).name)
    fresh.replace(link)
