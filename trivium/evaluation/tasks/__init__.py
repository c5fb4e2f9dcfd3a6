"""Tests with right answers: ten tasks, worded and scored as lm-evaluation-harness does, on data of one's own disk."""

from trivium.config import did_you_mean
from trivium.errors import ConfigError
from trivium.evaluation.tasks.arithmetic import GSM8K, SVAMP
from trivium.evaluation.tasks.blimp import BLIMP
from trivium.evaluation.tasks.boolq import BOOLQ
from trivium.evaluation.tasks.glue import COLA, MRPC, QNLI, RTE, SST2, WNLI
from trivium.evaluation.tasks.run import run_task
from trivium.evaluation.tasks.task import Record, Task

TASKS = {task.name: task for task in (COLA, SST2, MRPC, RTE, QNLI, WNLI, BOOLQ, BLIMP, GSM8K, SVAMP)}

__all__ = ["TASKS", "Record", "Task", "find_task", "run_task"]


def find_task(name: str, others: tuple[str, ...] = ()) -> Task:
    """The task called ``name``. Raises ``ConfigError`` with the nearest one; ``others`` are names that would do too."""
    if name in TASKS:
        return TASKS[name]
    valid = [*others, *TASKS]
    raise ConfigError(
        "there is no such task",
        received=name,
        expected=f"one of {', '.join(valid)}",
        fix=did_you_mean(name.lower().replace("-", ""), valid),
    )
