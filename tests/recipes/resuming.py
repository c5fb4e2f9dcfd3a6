"""A run that is killed in the middle of a step, and resumed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from trivium.checkpoints.tensors import TensorFile
from trivium.training.learners.supervised import SupervisedLearner
from trivium.training.run import Run


class Killed(BaseException):
    """Nothing catches it, as nothing catches a kill."""


@contextmanager
def killed_in_step(monkeypatch: pytest.MonkeyPatch, at: int, learner: type = SupervisedLearner) -> Iterator[None]:
    """What is carried out inside is killed before its step number ``at``, counted over all trainings by ``learner``."""
    step, calls = learner.step, []  # pyright: ignore[reportAttributeAccessIssue]

    def dying(self: Any, batch: Any) -> dict[str, float]:
        calls.append(batch)
        if len(calls) == at:
            raise Killed
        return step(self, batch)

    with monkeypatch.context() as patched:
        patched.setattr(learner, "step", dying)
        with pytest.raises(Killed):
            yield


def assert_resumes_bit_for_bit(carry_out: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, *, at: int = 6) -> None:
    """`carry_out(run=name, resume=...)` once whole, and once killed at its step number ``at`` and resumed."""
    whole = carry_out(run="whole", resume=False)
    with killed_in_step(monkeypatch, at):
        carry_out(run="killed", resume=False)
    resumed = carry_out(run="killed", resume=True)
    expected, found = final_weights(whole), final_weights(resumed)
    assert expected.keys() == found.keys() and all(expected[name].equal(found[name]) for name in expected)
    losses = [[(row["step"], row["loss"], row["validation_loss"]) for row in run.metrics()] for run in (whole, resumed)]
    assert losses[0] == losses[1]


def final_weights(run: Run) -> dict[str, Any]:
    """The tensors of the last checkpoint, of a model or of an adapter."""
    files = map(TensorFile, (run.checkpoints / "last").glob("*.safetensors"))
    return {name: file.read(name) for file in files for name in file.names}
