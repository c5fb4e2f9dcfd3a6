"""What is no number is refused where a number is asked for.

Tests check the types of every field before the code under test sees them; these run it as users do.
"""

import dataclasses
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from trivium.errors import ConfigError
from trivium.generation.checks import check_numbers


@dataclasses.dataclass(frozen=True)
class Settings:
    count: int = 1
    most: int | None = None
    share: float = 0.5
    least: float | None = None
    flag: bool | None = None
    ids: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        check_numbers(self)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("count", 3.5, "a whole number"),
        ("count", 2.0, "a whole number"),
        ("count", True, "a whole number"),
        ("count", None, "a whole number"),
        ("most", "7", "a whole number"),
        ("most", np.float64(2), "a whole number"),
        ("share", "0.5", "a number"),
        ("share", False, "a number"),
        ("share", None, "a number"),
        ("least", 1j, "a number"),
        ("least", [0.1], "a number"),
    ],
)
def test_what_is_no_number_is_refused(name: str, value: Any, expected: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} is not {expected}") as told:
        Settings(**{name: value})
    assert told.value.received == f"{name}={value!r}" and told.value.expected == expected and told.value.fix


def test_numbers_of_every_kind_become_those_of_python() -> None:
    found = Settings(count=np.uint8(200), most=np.int64(4), share=np.float32(0.5), least=2)
    assert found == Settings(count=200, most=4, share=0.5, least=2)
    assert [type(value) for value in dataclasses.astuple(found)[:4]] == [int, int, float, int]
    assert Settings(flag=True, ids=(1,)).flag is True, "other fields are left alone"


WITHOUT_TYPE_CHECKS = """
from functools import partial
from trivium.errors import ConfigError
from trivium.generation.constraints import Constraints
from trivium.generation.resolve import resolve
from trivium.generation.searching import Search
from trivium.generation.settings import GenerationSettings

call = partial(resolve, {}, max_new_tokens=3)
for make, name, value in [
    (GenerationSettings, "max_new_tokens", 3.5),
    (partial(GenerationSettings, max_new_tokens=3), "temperature", True),
    (partial(resolve, {}), "max_new_tokens", "3"),
    (call, "temperature", "0.5"), (call, "beams", 2.0), (call, "top_k", 2.5), (call, "seed", 1.5), (call, "n", True),
    (Search, "groups", 2.0), (Search, "diversity_penalty", "0.5"), (Constraints, "min_new_tokens", 1.5),
]:
    try:
        made = make(**{name: value})
    except ConfigError as error:
        assert str(error).startswith(f"{name} is not a"), error
    else:
        raise AssertionError(made)
"""


def test_every_kind_of_setting_refuses_what_is_no_number() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_TYPE_CHECKS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
