"""The last and the best checkpoints are kept, and links lead to them."""

import pathlib

from trivium.checkpoints.folder import new_folder
from trivium.checkpoints.retention import point_to, prune, saved_steps, step_folder, steps_to_keep


def test_steps_to_keep() -> None:
    scores = {100: 2.0, 200: 1.0, 300: 1.5, 999: 0.1}
    assert steps_to_keep([100, 200, 300, 400, 500], scores, last=2, best=1) == {200, 400, 500}
    assert steps_to_keep([300, 200, 100], scores, last=1, best=2) == {200, 300}
    assert steps_to_keep([100, 200], {}, last=1, best=3) == {200}
    assert steps_to_keep([100, 200], {100: 1.0, 200: 1.0}, last=1, best=1) == {100, 200}


def test_prune_and_links(tmp_path: pathlib.Path) -> None:
    for step in (1, 2, 3, 123456789):
        with new_folder(step_folder(tmp_path, step)) as writer:
            writer.write_text("a", str(step))
    step_folder(tmp_path, 5).mkdir()  # no manifest: never finished
    assert saved_steps(tmp_path) == [1, 2, 3, 123456789]
    assert saved_steps(tmp_path / "absent") == []
    for step in (1, 2):
        point_to(tmp_path / "best", step)
    prune(tmp_path, {2: 0.5, 1: 0.6}, last=1, best=1)
    assert saved_steps(tmp_path) == [2, 123456789]
    assert (tmp_path / "best" / "a").read_text() == "2"
    assert not list(tmp_path.glob(".*"))
