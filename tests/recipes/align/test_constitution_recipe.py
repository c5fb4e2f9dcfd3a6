"""A whole run on a small model: what comes of it, killed at every write and every step, and what is refused."""

import dataclasses
import html
import json
import os
import pathlib
import signal
from typing import Any
from unittest import mock

import pytest

import trivium
from tests.recipes.align.scripted import Scripted, critic
from tests.recipes.resuming import Killed, final_weights, killed_in_step
from tests.recipes.tuning import write_gpt2
from trivium.data.splits import is_held_out
from trivium.errors import ConfigError, DataError, Interrupted, StorageError, UserError
from trivium.recipes import finetune
from trivium.recipes.align.constitution import journal, recipe, stages
from trivium.recipes.align.constitution.chance import seed_of
from trivium.recipes.align.constitution.constitution_config import (
    ConstitutionConfig,
    FeedbackConfig,
    MeasuringConfig,
    PreferringConfig,
    RevisingConfig,
    SupervisedConfig,
)
from trivium.recipes.align.constitution.recipe import constitution
from trivium.recipes.align.constitution.revise import answered
from trivium.recipes.training import TrainingConfig
from trivium.training.learners.supervised import SupervisedLearner
from trivium.training.run import Run

_PROMPTS = 12
_COMPARED = ("*.jsonl", "*.json", "supervised-data/*", "preference-data/*", "report.html")


def held(question: str, first: str, second: str) -> tuple[float, float]:
    """What comes later in the alphabet is better, but for privacy what comes earlier; and the first place is liked."""
    return (0.6, 0.2) if (first < second) == ("privacy" in question) else (0.3, 0.5)


def speaker() -> Scripted:
    """Critic and judge in one."""
    return Scripted(says=critic, opinions=held)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return write_gpt2(tmp_path_factory.mktemp("base") / "model", "".join(map(chr, range(10, 127))))


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("data") / "prompts.txt"
    asked = [f"How do I break number {number}?" for number in range(_PROMPTS)]
    path.write_text("\n".join([*asked, asked[0], "too long " * 20]) + "\n")
    return path


def settings(base: pathlib.Path, prompts: pathlib.Path, output: pathlib.Path, **given: Any) -> ConstitutionConfig:
    usual: dict[str, Any] = {
        "model": base,
        "prompts": prompts,
        "output": output,
        "together": 4,
        "device": "cpu",
        "tags": ("helpful", "privacy"),
        "revising": RevisingConfig(rounds=2, max_new_tokens=10),
        "supervised": SupervisedConfig(
            rows=2, context_tokens=80, steps=4, training=TrainingConfig(checkpoint_every_steps=2)
        ),
        "feedback": FeedbackConfig(max_new_tokens=10),
        "preferring": PreferringConfig(method="none"),
        "measuring": MeasuringConfig(held_out=0.3),
    }
    return ConstitutionConfig(**{**usual, **given})


@pytest.fixture(scope="module")
def whole(base: pathlib.Path, prompts: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that was never killed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finetune, "write_run_report", lambda *given, **named: None)
        return constitution(settings(base, prompts, tmp_path_factory.mktemp("runs")), critic=speaker())


def lines(run: Run, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run.folder / name).read_text(encoding="utf-8").splitlines()]


def files(run: Run) -> dict[str, bytes]:
    """Everything that a run ends with, but the times of its training."""
    paths = sorted(path for pattern in _COMPARED for path in run.folder.glob(pattern))
    return {path.relative_to(run.folder).as_posix(): path.read_bytes() for path in paths}


def test_every_stage_leaves_its_file(whole: Run):
    assert list(files(whole)) == sorted(
        [
            "answers-before.jsonl",
            "answers-supervised.jsonl",
            "answers.jsonl",
            "audit.jsonl",
            "compared-supervised.jsonl",
            "done.json",
            "figures.json",
            "judgements.jsonl",
            "pairs.jsonl",
            "preference-data/judged.jsonl",
            "prompts.json",
            "report.html",
            "revisions.jsonl",
            "supervised-data/revisions.jsonl",
        ]
    )
    figures = json.loads((whole.folder / "figures.json").read_text())
    counts = figures["prompts"]
    assert counts["trained"] + counts["held_out"] == _PROMPTS and counts["too_long"] == 1
    assert counts["held_out"] > 0
    assert len(lines(whole, "revisions.jsonl")) == len(lines(whole, "judgements.jsonl")) == counts["trained"]
    assert len(lines(whole, "compared-supervised.jsonl")) == counts["held_out"]
    assert sum(figures["revisions"]["principles"].values()) == 2 * counts["trained"]


def test_what_is_learnt_are_revisions_of_prompts_that_are_not_held_out(whole: Run):
    learnt = (whole.folder / "supervised-data" / "revisions.jsonl").read_text()
    assert "CRITIQUE" not in learnt and "Revised" in learnt
    held_out = json.loads((whole.folder / "prompts.json").read_text())["held_out"]
    assert held_out and not any(messages[-1]["content"] in learnt for messages in held_out)


def test_the_model_is_the_tuned_one_and_opens(whole: Run, base: pathlib.Path):
    trained = trivium.load(whole.folder, device="cpu")
    tuned = trivium.load(whole.folder / "supervised", device="cpu")
    before = trivium.load(base, device="cpu")
    weights = [model.network.state_dict()["embedding.weight"] for model in (trained, tuned, before)]
    assert weights[0].equal(weights[1]) and not weights[0].equal(weights[2])


def test_every_prompt_is_answered_by_its_own_chance(whole: Run, base: pathlib.Path):
    """One alone, from another group than the first, is what it was among the others."""
    trained = json.loads((whole.folder / "prompts.json").read_text())["trained"]
    number = len(trained) - 1
    (alone,) = answered(
        trivium.load(base, device="cpu"),
        trained[number:],
        [seed_of(0, "answers", number, 0)],
        prompt_format="chat",
        temperature=1.0,
        max_new_tokens=10,
    )
    assert number > 4 and lines(whole, "answers.jsonl")[number]["answers"] == [alone]


def test_the_tuned_model_writes_the_pairs_and_they_are_told_with_soft_labels(whole: Run):
    pairs, judgements = lines(whole, "pairs.jsonl"), lines(whole, "judgements.jsonl")
    assert [row["answers"] for row in judgements] == [row["answers"] for row in pairs]
    assert all(len(row["answers"]) == 2 for row in pairs)
    preferred = lines(whole, "preference-data/judged.jsonl")
    known = [row for row in judgements if row["probability"] is not None]
    assert len(preferred) == len(known) > 0
    # 0.6 of 0.8 in one order and 0.5 of 0.8 in the other, unless principles that pull apart were averaged.
    soft = (0.75 + 0.625) / 2
    assert {round(line["probability"], 6) for line in preferred} <= {round(soft, 6), 0.5}
    assert all(line["chosen"] != line["rejected"] for line in preferred)


def test_conflicts_of_principles_are_told_with_the_one_that_prevailed(whole: Run):
    conflicts = [line for line in lines(whole, "audit.jsonl") if line.get("conflict")]
    assert len(conflicts) > 2
    for line in conflicts:
        names = {each["principle"]: each["priority"] for each in line["principles"]}
        assert "privacy" in names and line["conflict"]["prevailed"] == ["privacy"]
        assert max(names.values()) == names["privacy"]
    told = json.loads((whole.folder / "figures.json").read_text())["feedback"]["conflicts"]
    assert sum(each["times"] for each in told) == len(conflicts)


def test_a_judge_that_goes_by_the_place_is_told_of_before_anything_is_learnt_from_it(
    base: pathlib.Path,
    prompts: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setattr(finetune, "write_run_report", lambda *given, **named: None)
    monkeypatch.setattr(recipe, "write_preferences", killed)
    for name, first_is_liked in (("by-place", 0.6), ("fair", 0.5)):
        judge = Scripted(opinions=lambda question, first, second, held=first_is_liked: (held, 1 - held))
        with pytest.raises(Killed):
            constitution(settings(base, prompts, tmp_path, run=name), critic=speaker(), judge=judge)
        told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("the judge turned round")]
        assert len(told) == (name == "by-place")
        assert all("in 100% of its opinions" in line for line in told)


def test_the_report_tells_of_all_of_it(whole: Run):
    page = html.unescape(whole.report.read_text(encoding="utf-8"))
    for title in ("Before and after", "Does it evade?", "Answers, critiques and revisions", "The judge", "Preferences"):
        assert f"<h2>{title}</h2>" in page
    row = lines(whole, "revisions.jsonl")[0]
    assert row["messages"][-1]["content"] in page and row["samples"][0]["rounds"][-1]["revision"] in page
    assert "Warning" not in page  # the judge likes the first place, and goes by the answers
    assert "<h2>Conflicts</h2>" in page and "<h2>Which principles were at work</h2>" in page


def test_killed_at_every_write_it_ends_with_the_same_files(
    whole: Run, base: pathlib.Path, prompts: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    """Of each start the first lines are written, and of the second ones only a half."""
    monkeypatch.setattr(finetune, "write_run_report", lambda *given, **named: None)
    config = settings(base, prompts, tmp_path)
    append, written = journal.append, 0

    def torn(path: pathlib.Path, data: bytes) -> None:
        nonlocal written
        written += 1
        if written % 2 == 0:
            append(path, data[: len(data) // 2])
            raise Killed
        append(path, data)

    monkeypatch.setattr(journal, "append", torn)
    kills = 0
    while True:
        try:
            run = constitution(dataclasses.replace(config, resume=kills > 0), critic=speaker())
            break
        except Killed:
            kills += 1
            written = 0
    assert kills >= 10
    assert files(run) == files(whole)


def test_killed_between_the_stages_it_ends_with_the_same_files(
    whole: Run, base: pathlib.Path, prompts: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    """In a step of the tuning; before its end is noted; and before each of the files that are written at once."""
    monkeypatch.setattr(finetune, "write_run_report", lambda *given, **named: None)
    config = settings(base, prompts, tmp_path)
    with killed_in_step(monkeypatch, 4):
        constitution(config, critic=speaker())
    config = dataclasses.replace(config, resume=True)
    again = mock.Mock(side_effect=SupervisedLearner.step)
    monkeypatch.setattr(SupervisedLearner, "step", lambda learner, batch: again(learner, batch))
    for module, name in (
        (stages, "replace_file"),
        (recipe, "write_preferences"),
        (recipe, "write_audit"),
        (recipe, "write"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, killed)
            with pytest.raises(Killed):
                constitution(config, critic=speaker())
    run = constitution(config, critic=speaker())
    assert files(run) == files(whole)
    expected, found = final_weights(Run(whole.folder / "supervised")), final_weights(Run(run.folder / "supervised"))
    assert expected.keys() == found.keys() and all(expected[name].equal(found[name]) for name in expected)
    assert again.call_count == 2, "two of the steps were done again, and none after the run was done"


def killed(*_: Any, **__: Any) -> None:
    raise Killed


def test_what_is_finished_is_not_done_again(whole: Run, monkeypatch: pytest.MonkeyPatch):
    before = files(whole)
    silent = Scripted(says=killed)  # pyright: ignore[reportArgumentType]
    monkeypatch.setattr(SupervisedLearner, "step", killed)
    monkeypatch.setattr(journal, "append", killed)
    config = whole.config
    again = settings(pathlib.Path(config["model"]), pathlib.Path(config["prompts"]), whole.folder.parent, resume=True)
    constitution(again, critic=silent)
    assert files(whole) == before


def test_a_signal_ends_the_work_after_the_present_prompts(
    base: pathlib.Path, prompts: pathlib.Path, tmp_path: pathlib.Path
):
    def says(prompt: str, seed: int) -> str:
        os.kill(os.getpid(), signal.SIGTERM)
        stopping.says = critic
        return critic(prompt, seed)

    stopping = speaker()
    stopping.says = says
    with pytest.raises(Interrupted, match="4 of") as stopped:
        constitution(settings(base, prompts, tmp_path), critic=stopping)
    assert stopped.value.exit_code == 143
    assert len((tmp_path / "constitution" / "revisions.jsonl").read_text().splitlines()) == 4


@pytest.mark.parametrize(
    ("given", "error", "expected"),
    [
        ({"model": pathlib.Path("absent")}, StorageError, "there is no such folder"),
        ({"start": pathlib.Path("absent")}, StorageError, "there is no such folder"),
        ({"critic": "absent"}, StorageError, "there is no such folder"),
        ({"judge": "nobody:model"}, ConfigError, "there is neither such a folder nor such a provider"),
        ({"prompts": pathlib.Path("absent.txt")}, DataError, "there is no such file"),
        ({"constitution": "harmful"}, ConfigError, "there is no such constitution"),
        ({"tags": ("kind",)}, ConfigError, "no principle has this tag"),
        ({"supervised": SupervisedConfig(helpful=pathlib.Path("absent"))}, DataError, "there is no such file"),
        ({"feedback": FeedbackConfig(comparisons=pathlib.Path("absent"))}, DataError, "there is no such file"),
    ],
)
def test_what_cannot_be_carried_out_is_refused_before_a_run_is_begun(
    given: dict[str, Any],
    error: type[UserError],
    expected: str,
    base: pathlib.Path,
    prompts: pathlib.Path,
    tmp_path: pathlib.Path,
):
    with pytest.raises(error, match=expected):
        constitution(settings(**{"base": base, "prompts": prompts, "output": tmp_path, **given}))
    assert not list(tmp_path.iterdir())


def test_a_run_goes_on_with_the_same_principles_and_prompts_only(
    base: pathlib.Path, prompts: pathlib.Path, tmp_path: pathlib.Path
):
    """Also where another text stands in the same file."""
    rules, asked = tmp_path / "own.yaml", tmp_path / "prompts.txt"
    rules.write_text(
        "principles: [{name: kind, critique_request: 'Unkind?', revision_request: Be kind, comparison: 'Kinder?'}]"
    )
    asked.write_text(prompts.read_text())
    config = settings(base, asked, tmp_path, constitution=str(rules), tags=())
    with pytest.raises(Killed):
        constitution(config, critic=Scripted(says=killed))  # pyright: ignore[reportArgumentType]
    config = dataclasses.replace(config, resume=True)
    for changed, text in ((rules, rules.read_text().replace("Kinder?", "Friendlier?")), (asked, "Another?\n")):
        before = changed.read_text()
        changed.write_text(text)
        with pytest.raises(ConfigError) as refused:
            constitution(config, critic=speaker())
        assert "the same settings" in str(refused.value)
        changed.write_text(before)


@pytest.mark.parametrize(
    "make",
    [
        lambda: RevisingConfig(answers=0),
        lambda: RevisingConfig(rounds=0),
        lambda: RevisingConfig(temperature=float("nan")),
        lambda: FeedbackConfig(least_mass=1.0),
        lambda: FeedbackConfig(principles=0),
        lambda: MeasuringConfig(held_out=1.0),
        lambda: ConstitutionConfig(model=pathlib.Path("a"), prompts=pathlib.Path("b"), together=0),
    ],
)
def test_settings_that_mean_nothing_are_refused(make: Any):
    with pytest.raises(ConfigError):
        make()


def test_what_is_held_out_here_leaves_prompts_for_every_later_training_to_hold_out(
    base: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    """All of them go by a hash of the prompt, and by the same one nothing would be left."""
    path = tmp_path / "prompts.txt"
    path.write_text("\n".join(f"Question {number}" for number in range(300)))
    monkeypatch.setattr(journal, "append", killed)
    with pytest.raises(Killed):
        constitution(settings(base, path, tmp_path, measuring=MeasuringConfig(held_out=0.2)), critic=speaker())
    trained = json.loads((tmp_path / "constitution" / "prompts.json").read_text())["trained"]
    later = [messages for messages in trained if is_held_out(messages[0]["content"], 0.1)]
    assert 200 < len(trained) < 280 and 10 < len(later) < 50


@pytest.mark.slow
@pytest.mark.parametrize(("method", "train"), [("dpo", "full"), ("dpo", "lora"), ("ppo", "lora")])
def test_a_whole_run_ends_with_a_model_that_was_trained_on_preferences(
    method: Any, train: Any, base: pathlib.Path, tmp_path: pathlib.Path
):
    path = tmp_path / "prompts.txt"
    path.write_text("\n".join(f"Why is {number} a number?" for number in range(80)))
    helpful = tmp_path / "helpful.jsonl"
    helpful.write_text('{"prompt": "Say yes.", "completion": "Yes."}\n')
    given: dict[str, Any] = {
        "together": 32,
        "supervised": SupervisedConfig(rows=2, context_tokens=80, steps=2, method=train, helpful=helpful),
        "preferring": PreferringConfig(method=method, train=train, rows=4, context_tokens=80, steps=2),
        "measuring": MeasuringConfig(held_out=0.1),
    }
    run = constitution(settings(base, path, tmp_path, **given), critic=speaker())
    done = ["supervised", *(["preference-model"] if method == "ppo" else []), "preferred"]
    assert json.loads((run.folder / "done.json").read_text()) == done
    models = json.loads((run.folder / "figures.json").read_text())["held_out"]
    assert list(models) == ["before", "supervised", "preferred"]
    assert trivium.load(run.folder, device="cpu").generate("Why?", max_new_tokens=4)[0].text
    assert (run.checkpoints / "best").resolve().is_relative_to((run.folder / "preferred").resolve())
