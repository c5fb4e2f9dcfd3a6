"""What a reward may be called on the command line: a folder, a verifier, or a function of your own.

    reward_of(["runs/reward"], ...)                             # a reward model: a folder, or the run that made it
    reward_of(["number"], wanted={"2 + 2?": "4"}, ...)          # a verifier, which compares with the data's answers
    reward_of(["format:<b>.*</b>", "length:1-50=0.2"], ...)     # ... or with what is wanted of every answer
    reward_of(["taste.py:brevity", "mypackage.rewards:tone=0.5"], ...)

Each may have a weight behind "=", 1 without; the reward of an answer is their sum. A function takes prompts and answers
and gives a number an answer. It is code: it is imported because it was named here, and never for what a file says.
"""

import importlib
import importlib.util
import inspect
import math
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, cast

from trivium.adapters.adapter_set import adapters_of, has_adapters
from trivium.checkpoints.adapter_folder import check_base
from trivium.checkpoints.provenance import is_model
from trivium.config import did_you_mean
from trivium.errors import CheckpointError, ConfigError, DataError
from trivium.evaluation.verifiers import VERIFIERS, Trial, verifier
from trivium.generation.reading import device_of
from trivium.lm.load import saved_folder
from trivium.lm.local import LocalModel
from trivium.lm.reward import RewardModel, load_reward
from trivium.templates import Message
from trivium.training.rewards import Reward, SummedReward

_EXPECTED = f"the folder of a reward model, one of {', '.join(VERIFIERS)}, or module:function or file.py:function"


def reward_of(
    names: Sequence[str],
    *,
    wanted: Mapping[str, Any],
    conversations: Mapping[str, Sequence[Message]] | None = None,
    on: LocalModel | None = None,
    device: str = "auto",
    trial: Trial | None = None,
) -> Reward:
    """The sum of the rewards that `names` call.

    Args:
        names: at least one, each with ``=weight`` or without.
        wanted: what verifiers compare with, by prompt.
        conversations: by prompt what a reward model is shown in its place; the prompt itself where there is none.
        on: the model that is trained: a reward adapter that was made for its base goes onto it, under a name that is
            free there.
        device: of reward models that are on a network of their own; with `on`, its device.
        trial: how verifiers grade.

    Raises:
        ConfigError: a name that calls nothing, a weight that is none, a function that is none or cannot be imported.
        DataError: a verifier with nothing to compare with for some of the prompts.
        CheckpointError, Unsupported: a folder that cannot be used.
    """
    if not names:
        raise ConfigError("nothing says what an answer is worth", received="no reward", expected=_EXPECTED)
    parts: list[tuple[str, float, Reward]] = []
    for given in names:
        name, weight = weighted(given)
        parts.append((name, weight, _one(name, wanted, conversations or {}, on, device, trial)))
    return parts[0][2] if len(parts) == 1 and parts[0][1] == 1 else SummedReward(parts)


def weighted(given: str) -> tuple[str, float]:
    """("number", 0.5) of "number=0.5"; a weight of 1 where nothing behind the last "=" is a number."""
    name, _, last = given.rpartition("=")
    try:
        weight = float(last)
    except ValueError:
        return given, 1.0
    if not name:
        return given, 1.0
    if not math.isfinite(weight) or not weight:
        raise ConfigError("a reward has a finite weight that is not 0", received=given, expected=f"{name}=0.5")
    return name, weight


def _one(
    name: str,
    wanted: Mapping[str, Any],
    conversations: Mapping[str, Sequence[Message]],
    on: LocalModel | None,
    device: str,
    trial: Trial | None,
) -> Reward:
    kind, colon, rest = name.partition(":")
    if kind in VERIFIERS:
        return verifier(kind, rest if colon else _wanted(kind, wanted, conversations), trial=trial)
    if pathlib.Path(name).expanduser().is_dir():
        return _scoring(_opened(name, on, device), conversations)
    if colon:
        return function_at(name)
    near = did_you_mean(name, VERIFIERS)
    raise ConfigError("there is no such reward", received=name, expected=_EXPECTED, fix=near)


def _wanted(kind: str, wanted: Mapping[str, Any], conversations: Mapping[str, Sequence[Message]]) -> Mapping[str, Any]:
    without = [prompt for prompt in conversations if prompt not in wanted]
    if without or not wanted:
        raise DataError(
            f"the reward {kind} has nothing to compare the answers with",
            received=f"{len(without)} of {len(conversations)} prompts without an answer in the data"
            + (f", the first {without[0][:60]!r}" if without else ""),
            fix=f"give prompts with their answers, or say what is wanted of every answer: {kind}:...",
        )
    return wanted


def _scoring(model: RewardModel, conversations: Mapping[str, Sequence[Message]]) -> Reward:
    def reward(prompts: Sequence[str], answers: Sequence[str]) -> list[float]:
        return model.score([conversations.get(prompt, prompt) for prompt in prompts], answers)

    return reward


def _opened(name: str, on: LocalModel | None, device: str) -> RewardModel:
    """The reward model of a folder: on the network of `on` where it is an adapter for its weights, else by itself."""
    if on is None:
        return load_reward(name, device=device)
    folder = saved_folder(name)
    if not is_model(folder) and not _made_for(folder, on):
        return load_reward(name, device=str(device_of(on.network)))
    return load_reward(name, on=on, name=_free_name(on))


def _made_for(folder: pathlib.Path, on: LocalModel) -> bool:
    if on.origin is None:
        return False
    try:
        check_base(folder, on.origin.folder)
    except CheckpointError:
        return False
    return True


def _free_name(on: LocalModel) -> str:
    """reward, reward2, ...: the first that no adapter is called, with or without the number of an ensemble's member."""
    taken = {name.partition("_")[0] for name in adapters_of(on.network).configs} if has_adapters(on.network) else set()
    number = 1
    while (name := "reward" if number == 1 else f"reward{number}") in taken:
        number += 1
    return name


# Functions ------------------------------------------------------------------------------------------------------------


def function_at(name: str) -> Reward:
    """The function that ``module:function`` or ``file.py:function`` calls.

    Raises ConfigError where there is no such module or function, where importing it fails, and for what does not take
    prompts and answers.
    """
    place, _, function = name.rpartition(":")
    module = _module_of_file(place) if place.endswith(".py") else _module(place)
    found: Any = vars(module).get(function)
    if not callable(found):
        known = [each for each, value in vars(module).items() if callable(value) and not each.startswith("_")]
        raise ConfigError(
            f"{place} has no function {function}",
            received=name if found is None else f"{function}, which is {type(found).__name__}",
            expected="a function of prompts and answers",
            fix=did_you_mean(function, known),
        )
    _require_two(name, found)
    return cast(Reward, found)


def _require_two(name: str, function: Callable[..., Any]) -> None:
    try:
        inspect.signature(function).bind([], [])
    except TypeError as error:
        raise ConfigError(
            "this cannot be called with prompts and answers",
            received=f"{name} ({error})",
            expected="def reward(prompts: list[str], answers: list[str]) -> list[float]",
        ) from None
    except ValueError:  # built in: its signature is not known
        pass


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:
        absent = isinstance(error, ModuleNotFoundError) and error.name is not None and f"{name}.".startswith(error.name)
        raise ConfigError(
            f"the module {name} cannot be imported",
            received=f"{type(error).__name__}: {error}",
            fix=f"install it, or name its file: path/to/{name.rpartition('.')[2]}.py:..." if absent else None,
        ) from error


def _module_of_file(place: str) -> ModuleType:
    path = pathlib.Path(place).expanduser().resolve()
    if not path.is_file():
        raise ConfigError("there is no such file of rewards", received=place, fix="check the path")
    name = f"trivium_reward_{path.stem}"
    specification = importlib.util.spec_from_file_location(name, path)
    assert specification is not None and specification.loader is not None, "a .py file has a loader"
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module  # dataclasses look their own module up
    try:
        specification.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise ConfigError(f"{place} cannot be imported", received=f"{type(error).__name__}: {error}") from error
    return module
