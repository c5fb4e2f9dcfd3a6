"""What once went wrong with policies, and does no more."""

import json
import pathlib
from typing import Any

import pytest

import trivium
from tests.recipes.resuming import final_weights
from tests.recipes.tuning import write_gpt2
from trivium.errors import ConfigError, DataError, Interrupted
from trivium.lm.reward import load_reward
from trivium.recipes.align import policy as recipe
from trivium.recipes.align import reward as rewarding
from trivium.recipes.align.policy import policy
from trivium.recipes.align.policy_config import CadenceConfig, PPORecipeConfig
from trivium.recipes.align.prompts import read_prompts, split_prompts
from trivium.recipes.align.reward_config import RewardConfig
from trivium.recipes.align.watch import WatchConfig
from trivium.training.learners.policy_config import PolicyConfig, method_config
from trivium.training.optimisers import OptimiserConfig
from trivium.training.rewards import RewardUnavailable
from trivium.training.rollouts import RolloutConfig
from trivium.training.run import Run
from trivium.training.schedules import ScheduleConfig

REWARDS = """
import os, pathlib, signal
CALLS = pathlib.Path({calls!r})

def letters(prompts, answers):
    return [answer.count("a") / max(len(answer), 1) for answer in answers]

def rising(prompts, answers):
    return [float(_call())] * len(answers)

def falling(prompts, answers):
    return [-score for score in rising(prompts, answers)]

def _call():
    CALLS.write_text(CALLS.read_text() + "x" if CALLS.exists() else "x")
    return len(CALLS.read_text())

def interrupted(prompts, answers):
    if _call() == {at}:
        os.kill(os.getpid(), signal.SIGINT)
    return letters(prompts, answers)

def away(prompts, answers):
    if {at} <= _call() < {at} + 3:
        raise ConnectionError("nobody listens")
    return letters(prompts, answers)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A model, and prompts with their answers."""
    folder = tmp_path_factory.mktemp("policy")
    lines = [{"prompt": f"how much is {n}?", "completion": str(n)} for n in range(40)]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    write_gpt2(folder / "model", (folder / "prompts.jsonl").read_text())
    return folder


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No report, and rewards that are away stay away without waiting."""
    for module in (recipe, rewarding):
        monkeypatch.setattr(module, "write_run_report", lambda *given, **named: None)
    monkeypatch.setattr("trivium.training.rewards.time.sleep", lambda seconds: None)


def config(place: pathlib.Path, output: pathlib.Path, function: str = "letters", **settings: Any) -> PPORecipeConfig:
    options: dict[str, Any] = {
        "model": place / "model",
        "data": place / "prompts.jsonl",
        "reward": (f"{own(output)}:{function}",),
        "learning": fast(1e-2),
        "rollouts": RolloutConfig(prompts=2, answers=2, end_penalty=0.0),
        "max_new_tokens": 6,
        "prompt_format": "plain",
        "watch": WatchConfig(prompts=4, samples=1),
        "best_of": 0,
        "cadence": CadenceConfig(look_every_steps=2, checkpoint_every_steps=3),
        "output": output,
        "steps": 3,
    }
    return PPORecipeConfig(**options | settings)


def own(output: pathlib.Path, at: int = 4) -> pathlib.Path:
    """The rewards: what goes wrong does so at call ``at``; the first look is one, and so is each batch."""
    path = output / "rewards.py"
    path.write_text(REWARDS.format(calls=str(output / "calls"), at=at))
    return path


def fast(rate: float, **changes: Any) -> PolicyConfig:
    return method_config("ppo", optimiser=OptimiserConfig(learning_rate=rate, weight_decay=0.0), **changes)


def looks(run: Run) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run.folder / "watch.jsonl").read_text().splitlines()]


def assert_same_end(whole: Run, resumed: Run) -> None:
    expected, found = final_weights(whole), final_weights(resumed)
    assert expected.keys() == found.keys() and all(expected[name].equal(found[name]) for name in expected)
    assert looks(whole) == looks(resumed)
    timed = ("seconds", "tokens_per_second")
    rows = [[{key: row[key] for key in row if key not in timed} for row in run.metrics()] for run in (whole, resumed)]
    assert rows[0] == rows[1]


def test_a_signal_in_a_look_does_not_count_it_twice(place: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """The fourth call is of the look after the second step: it is written, and taken again by the resumed run."""
    whole = policy(config(place, tmp_path, run="whole"))
    with pytest.raises(Interrupted):
        policy(config(place, tmp_path, "interrupted", run="stopped"))
    resumed = policy(config(place, tmp_path, "interrupted", run="stopped", resume=True))
    assert [look["step"] for look in looks(resumed)] == [0, 2, 3]
    assert_same_end(whole, resumed)


@pytest.mark.slow  # it waits for the reward to come back
def test_a_reward_that_vanishes_in_a_look_leaves_what_was_learnt(place: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """It is away after the second step, where no checkpoint is due."""
    whole = policy(config(place, tmp_path, run="whole"))
    with pytest.raises(RewardUnavailable, match=r"(?s)nobody listens.*stopped after step 2 of 3.*--resume"):
        policy(config(place, tmp_path, "away", run="left"))
    assert Run.open(tmp_path / "left").saved_steps() == [2]
    assert_same_end(whole, policy(config(place, tmp_path, "away", run="left", resume=True)))


def test_a_reward_adapter_scores_by_its_own_base_where_all_of_the_policy_is_trained(
    place: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    pairs = [{"prompt": f"how much is {n}?", "chosen": "a", "rejected": str(n)} for n in range(20)]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    asked: dict[str, Any] = {"model": place / "model", "data": tmp_path / "pairs.jsonl", "output": tmp_path}
    judge = rewarding.reward(
        RewardConfig(**asked, method="lora", steps=2, rows=4, context_tokens=64, prompt_format="plain")
    )
    run = policy(config(place, tmp_path, trained="full", reward=(str(judge.folder),), steps=2))
    last = looks(run)[-1]
    (sample,) = last["samples"]
    assert load_reward(judge.folder)([sample["prompt"]], [sample["answer"]]) == pytest.approx(
        [sample["proxy"]], abs=1e-5
    )
    before, after = (
        trivium.load(folder).score([("how much", " is")])[0].logprob for folder in (place / "model", run.folder)
    )
    assert before != after


def test_where_the_beginning_was_best_nothing_else_is_said(
    place: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """There is no checkpoint of step 0, so that is not what the run ends with."""
    reported: list[str] = []

    def report(run: Run, device: Any, *, loss_of: str, extra: Any) -> None:
        reported.extend(str(section) for section in extra(trivium.load(run.folder)))

    monkeypatch.setattr(recipe, "write_run_report", report)
    often = CadenceConfig(look_every_steps=1, checkpoint_every_steps=1)
    watch = WatchConfig(prompts=4, samples=1, patience=1)
    run = policy(config(place, tmp_path, "rising", gold=(f"{own(tmp_path)}:falling",), watch=watch, cadence=often))
    golds = {look["step"]: look["gold"] for look in looks(run)}
    kept = int((run.checkpoints / "best").resolve().name.split("-")[1])
    assert max(golds, key=lambda step: golds[step]) == 0 < kept and max(golds) < 3
    said = capsys.readouterr().err
    assert f"step 0 is not saved: the best that is, step {kept}, is in" in said
    assert any(f"went back to step {kept}:" in section for section in reported)


def test_minutes_alone_tell_no_last_step(
    place: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match="which one that is"):
        config(place, tmp_path, steps=None, minutes=1.0, learning=fast(1e-2, schedule=ScheduleConfig(kind="linear")))
    run = policy(config(place, tmp_path, steps=None, minutes=0.005))
    assert run.metrics()
    assert "policy: 0 steps" in capsys.readouterr().err  # and not 0/9,223,372,036,854,775,808


def test_prompts_of_the_watch_are_not_learnt_from(tmp_path: pathlib.Path) -> None:
    """Neither is their answer in the one file that in the other."""
    for name, numbers, answer in (("prompts", range(4), "yes"), ("watched", range(2, 6), "no")):
        lines = [json.dumps({"prompt": f"is it {n}?", "completion": answer}) + "\n" for n in numbers]
        (tmp_path / f"{name}.jsonl").write_text("".join(lines))
    prompts, watched = (
        read_prompts(tmp_path / name, prompt_format="plain") for name in ("prompts.jsonl", "watched.jsonl")
    )
    split = split_prompts(prompts, watched, 8)
    assert [prompt.text for prompt in split.training] == ["is it 0?", "is it 1?"]
    assert split.wanted == {f"is it {n}?": "yes" if n < 2 else "no" for n in range(6)}
    with pytest.raises(DataError, match="no prompts to learn from"):
        split_prompts(prompts[2:], watched, 8)


def test_other_fields_beside_a_prompt_do_not_matter(tmp_path: pathlib.Path) -> None:
    (tmp_path / "prompts.jsonl").write_text('{"id": 1, "prompt": "one"}\n{"id": 2, "prompt": "two"}\n')
    found = read_prompts(tmp_path / "prompts.jsonl", prompt_format="plain")
    assert [(prompt.text, prompt.wanted) for prompt in found] == [("one", None), ("two", None)]


@pytest.mark.parametrize("count", [2, 5])
def test_a_few_prompts_are_enough(place: pathlib.Path, tmp_path: pathlib.Path, count: int) -> None:
    """By chance none of them may be due to be held out; a batch then has each several times."""
    (tmp_path / "few.txt").write_text("".join(f"how much is {n}?\n" for n in range(count)))
    run = policy(config(place, tmp_path, data=tmp_path / "few.txt", rollouts=RolloutConfig(prompts=8), steps=1))
    assert run.saved_steps() == [1] and len(looks(run)[0]["proxies"]) == 1
