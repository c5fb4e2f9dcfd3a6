"""Policies from a folder to a folder: what is learnt, what is watched, and what a run that was killed goes on with."""

import json
import pathlib
from collections.abc import Callable
from typing import Any

import pytest

import trivium
from tests.recipes.resuming import Killed, final_weights
from tests.recipes.tuning import said, write_gpt2
from trivium.adapters.lora import LoRAConfig
from trivium.adapters.sites import ALL_LINEAR
from trivium.checkpoints import folder as folders
from trivium.errors import CheckpointError, ConfigError, DataError, Unsupported
from trivium.recipes.align import policy as recipe
from trivium.recipes.align.policy import policy
from trivium.recipes.align.policy_config import CadenceConfig, GRPORecipeConfig, PolicyRecipeConfig, PPORecipeConfig
from trivium.recipes.align.watch import WatchConfig
from trivium.recipes.align.writing import AnswerWriter
from trivium.training.learners.policy import PolicyLearner
from trivium.training.learners.policy_config import PenaltyConfig, PolicyConfig, method_config
from trivium.training.optimisers import OptimiserConfig
from trivium.training.rewards import RewardFault, RewardUnavailable
from trivium.training.rollouts import RolloutConfig
from trivium.training.run import Run

OFTEN = CadenceConfig(look_every_steps=2, checkpoint_every_steps=2)
FUNCTIONS = '''
def letters(prompts, answers):
    """The share of vowels."""
    return [sum(map(answer.count, "aeiou")) / max(len(answer), 1) for answer in answers]

def others(prompts, answers):
    """It parts from `letters` at once."""
    return [-score for score in letters(prompts, answers)]

def broken(prompts, answers):
    return [None if not answer else float("nan") for answer in answers]

def away(prompts, answers):
    raise ConnectionError("nobody listens")
'''


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A model, prompts with their answers, and rewards of one's own."""
    folder = tmp_path_factory.mktemp("policy")
    lines = [{"prompt": f"how much is {n}?", "completion": str(n)} for n in range(40)]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "rewards.py").write_text(FUNCTIONS)
    write_gpt2(folder / "model", (folder / "prompts.jsonl").read_text())
    return folder


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No report, and rewards that are away stay away without waiting."""
    monkeypatch.setattr(recipe, "write_run_report", lambda *given, **named: None)
    monkeypatch.setattr("trivium.training.rewards.time.sleep", lambda seconds: None)


def config(place: pathlib.Path, output: pathlib.Path, kind: type = PPORecipeConfig, **settings: Any) -> Any:
    method = "grpo" if kind is GRPORecipeConfig else "ppo"
    options: dict[str, Any] = {
        "model": place / "model",
        "data": place / "prompts.jsonl",
        "reward": (f"{place / 'rewards.py'}:letters",),
        "lora": LoRAConfig(rank=4, targets=ALL_LINEAR),
        "learning": learning(method),
        "rollouts": RolloutConfig(prompts=2, answers=2, end_penalty=0.0),
        "max_new_tokens": 4,
        "prompt_format": "plain",
        "watch": WatchConfig(prompts=4, samples=1),
        "best_of": 2,
        "cadence": OFTEN,
        "output": output,
        "steps": 4,
    }
    return kind(**options | settings)


def learning(method: str, **changes: Any) -> PolicyConfig:
    return method_config(method, optimiser=OptimiserConfig(learning_rate=1e-2, weight_decay=0.0), **changes)


def looks(run: Run) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run.folder / "watch.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (PPORecipeConfig, {}),
        (PPORecipeConfig, {"critic": "adapter", "learning": learning("ppo", temperature=0.7)}),
        (GRPORecipeConfig, {"trained": "full"}),
    ],
    ids=["ppo", "critic", "grpo-full"],
)
def test_a_policy_is_trained_watched_and_saved(
    kind: type[PolicyRecipeConfig], settings: dict[str, Any], place: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    run = policy(config(place, tmp_path, kind, **settings))
    rows = run.metrics()
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert rows[0]["kl"] == 0.0 and all(row["first_ratio_deviation"] == 0.0 for row in rows)
    assert max(row["engine_deviation"] for row in rows) < 1e-4
    assert rows[-1]["kl_k3"] > 0.0 and 0 < rows[-1]["answer_tokens"] <= 4
    seen = looks(run)
    assert [look["step"] for look in seen] == [0, 2, 4]
    assert rows[-1]["validation_loss"] == pytest.approx(-seen[-1]["proxy"])
    assert json.loads((run.folder / "compared.json").read_text())["against"]["k"] == 2
    best = min(seen[1:], key=lambda look: -look["proxy"])
    assert (run.checkpoints / "best").resolve().name.endswith(str(best["step"]))
    assert (run.checkpoints / "best" / "adapter_config.json").is_file() == (settings.get("trained") != "full")
    assert trivium.load(run.folder).generate("how much is 3?", max_new_tokens=3)[0].token_ids


@pytest.mark.slow
def test_the_reward_is_learnt(place: pathlib.Path, tmp_path: pathlib.Path) -> None:
    settings = {"rollouts": RolloutConfig(prompts=32, end_penalty=0.0), "steps": 10, "best_of": 0, "trained": "full"}
    penalty = PenaltyConfig(weight=0.0)
    fast = method_config("ppo", optimiser=OptimiserConfig(learning_rate=3e-3, weight_decay=0.0), penalty=penalty)
    cadence = CadenceConfig(look_every_steps=100, checkpoint_every_steps=100)
    run = policy(config(place, tmp_path, learning=fast, cadence=cadence, **settings))
    rewards = [row["reward"] for row in run.metrics()]
    assert sum(rewards[-3:]) > 1.5 * sum(rewards[:3])


@pytest.mark.slow
def test_an_adapter_goes_on_and_is_held_near_what_it_was(place: pathlib.Path, tmp_path: pathlib.Path) -> None:
    first = policy(config(place, tmp_path, run="first"))
    second = policy(config(place, tmp_path, run="second", model=first.folder, steps=2))
    assert second.metrics()[0]["kl"] == 0.0
    assert looks(second)[0]["kl"] == pytest.approx(0.0, abs=1e-5)


@pytest.mark.slow
def test_an_adapter_of_a_packed_base_goes_on_as_that(place: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Its folder tells the method and how its base is packed; without that it would be opened on another base."""
    first = policy(config(place, tmp_path, run="first", trained="qlora", steps=2, best_of=0))
    second = policy(config(place, tmp_path, run="second", model=first.folder, trained="qlora", steps=2))
    for run in (first, second):
        assert (said(run)["method"], said(run)["quantize"]) == ("qlora", "nf4")
    assert second.metrics()[0]["kl"] == 0.0


@pytest.mark.slow
def test_where_reward_and_gold_part_it_stops_and_goes_back(place: pathlib.Path, tmp_path: pathlib.Path) -> None:
    gold = (f"{place / 'rewards.py'}:others",)
    penalty = PenaltyConfig(weight=0.0)
    fast = method_config("ppo", optimiser=OptimiserConfig(learning_rate=5e-3, weight_decay=0.0), penalty=penalty)
    more = {"watch": WatchConfig(prompts=16, patience=1), "rollouts": RolloutConfig(prompts=32, end_penalty=0.0)}
    more |= {"best_of": 0, "max_new_tokens": 6}
    (tmp_path / "watched.txt").write_text("\n".join(f"how much is {n}?" for n in range(50, 82)))
    run = policy(
        config(
            place,
            tmp_path,
            gold=gold,
            learning=fast,
            steps=24,
            trained="full",
            validation=tmp_path / "watched.txt",
            **more,
        )
    )
    steps = [look["step"] for look in looks(run)]
    assert steps[-1] < 24 and run.saved_steps()[-1] == steps[-1] == run.metrics()[-1]["step"]
    golds = {look["step"]: look["gold"] for look in looks(run)[1:]}
    best = max(golds, key=lambda step: golds[step])
    assert int((run.checkpoints / "best").resolve().name.split("-")[1]) == best < steps[-1]


# Kills ----------------------------------------------------------------------------------------------------------------


def _dying(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, at: int) -> Callable[[], None]:
    """The call number ``at`` of a function dies; gives what mends it."""
    whole, calls = getattr(owner, name), []

    def dying(*given: Any, **named: Any) -> Any:
        calls.append(None)
        if len(calls) == at:
            raise Killed
        return whole(*given, **named)

    monkeypatch.setattr(owner, name, dying)
    return lambda: monkeypatch.setattr(owner, name, whole)


ADAPTIVE = learning("ppo", penalty=PenaltyConfig(weight=0.1, target=0.5, horizon=50), mini_batches=2)


@pytest.fixture(scope="module")
def whole(place: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that nobody disturbs."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(recipe, "write_run_report", lambda *given, **named: None)
        return policy(config(place, tmp_path_factory.mktemp("whole"), learning=ADAPTIVE, best_of=0))


@pytest.mark.parametrize(
    ("owner", "name", "at"),
    [
        pytest.param(AnswerWriter, "__call__", 1, marks=pytest.mark.slow),
        (AnswerWriter, "__call__", 5),
        (PolicyLearner, "step", 4),
        pytest.param(PolicyLearner, "divergences", 2, marks=pytest.mark.slow),
        (folders.FolderWriter, "write_json", 8),
    ],
    ids=["first look", "rollouts", "update", "look", "checkpoint"],
)
def test_killed_it_goes_on_bit_for_bit(
    owner: Any,
    name: str,
    at: int,
    whole: Run,
    place: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In rollouts, in an update, in a look and in a checkpoint."""
    mend = _dying(monkeypatch, owner, name, at)
    with pytest.raises(Killed):
        policy(config(place, tmp_path, learning=ADAPTIVE, best_of=0))
    mend()
    resumed = policy(config(place, tmp_path, learning=ADAPTIVE, best_of=0, resume=True))
    expected, found = final_weights(whole), final_weights(resumed)
    assert expected.keys() == found.keys() and all(expected[tensor].equal(found[tensor]) for tensor in expected)
    assert looks(whole) == looks(resumed)
    timed = ("seconds", "tokens_per_second")
    rows = [[{key: row[key] for key in row if key not in timed} for row in run.metrics()] for run in (whole, resumed)]
    assert rows[0] == rows[1]


@pytest.mark.slow  # it waits for the reward to come back
def test_a_reward_that_vanishes_leaves_a_run_that_goes_on(
    whole: Run, place: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """The service is there for the first look and two batches; the weights are those of a run that it never left."""
    service = tmp_path / "service.py"
    calls = tmp_path / "calls"
    service.write_text(
        "import pathlib\n"
        f"calls = pathlib.Path({str(calls)!r})\n"
        "def letters(prompts, answers):\n"
        "    calls.write_text(calls.read_text() + 'x' if calls.exists() else 'x')\n"
        "    if len(calls.read_text()) in (4, 5, 6):\n"
        "        raise ConnectionError('nobody listens')\n"
        "    return [sum(map(answer.count, 'aeiou')) / max(len(answer), 1) for answer in answers]\n"
    )
    asked = {"reward": (f"{service}:letters",), "best_of": 0, "learning": ADAPTIVE}
    with pytest.raises(RewardUnavailable, match=r"(?s)nobody listens.*--resume"):
        policy(config(place, tmp_path, **asked))
    resumed = policy(config(place, tmp_path, resume=True, **asked))
    expected, found = final_weights(whole), final_weights(resumed)
    assert all(expected[tensor].equal(found[tensor]) for tensor in expected)


# What is refused ------------------------------------------------------------------------------------------------------


def test_a_reward_that_gives_no_number_is_named_before_anything_is_learnt(
    place: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    with pytest.raises(RewardFault, match="reward gave no number for answer 1 of ") as told:
        policy(config(place, tmp_path, reward=(f"{place / 'rewards.py'}:broken",)))
    assert "how much is" in str(told.value)


@pytest.mark.parametrize(
    ("settings", "error", "told"),
    [
        ({"reward": ()}, ConfigError, "what an answer is worth"),
        ({"reward": ("numbr",)}, ConfigError, "number"),
        ({"learning": learning("grpo"), "rollouts": RolloutConfig(answers=1)}, ConfigError, "2 answers or more"),
        ({"critic": "adapter", "trained": "full"}, ConfigError, "critic"),
        ({"max_new_tokens": 95}, DataError, "leaves no room"),
        ({"data": pathlib.Path("nowhere.jsonl")}, DataError, "does not exist"),
        ({"steps": 0}, ConfigError, "steps"),
    ],
)
def test_what_cannot_be_is_refused_before_there_is_a_run(
    settings: dict[str, Any], error: type[Exception], told: str, place: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    with pytest.raises(error, match=told):
        policy(config(place, tmp_path, **settings))
    assert not (tmp_path / "ppo").exists()


def test_prompts_that_cannot_be_used(place: pathlib.Path, tmp_path: pathlib.Path) -> None:
    few = tmp_path / "few.jsonl"
    few.write_text('{"prompt": "one?"}\n')
    with pytest.raises(DataError, match="one prompt cannot both"):
        policy(config(place, tmp_path, data=few))
    twice = tmp_path / "twice.jsonl"
    twice.write_text('{"prompt": "one?", "completion": "1"}\n{"prompt": "one?", "completion": "2"}\n')
    with pytest.raises(DataError, match="twice"):
        policy(config(place, tmp_path, data=twice))


@pytest.mark.slow
def test_other_weights_or_settings_are_not_gone_on_with(place: pathlib.Path, tmp_path: pathlib.Path) -> None:
    policy(config(place, tmp_path, best_of=0, steps=2))
    with pytest.raises(ConfigError, match="another configuration"):
        policy(config(place, tmp_path, best_of=0, steps=2, seed=5, resume=True))
    other = write_gpt2(tmp_path / "other", 'how much is 0123456789? {}:,."promtcle\n')
    with pytest.raises((CheckpointError, ConfigError, Unsupported)):
        policy(config(place, tmp_path, best_of=0, steps=2, model=other, resume=True))
