"""Preferences learnt directly: what gets likelier, what the reference is, kills, and data that cannot be used."""

import json
import pathlib
import shutil
from typing import Any

import pytest
import torch

import trivium
from tests.recipes.resuming import assert_resumes_bit_for_bit
from tests.recipes.tuning import said, tuned, write_gpt2
from trivium.adapters.lora import LoRAConfig
from trivium.cli.dry_run.aligning import directing
from trivium.data.preference_batches import PairExample
from trivium.errors import CheckpointError, ConfigError, DataError, Unsupported
from trivium.recipes.align import dpo as recipe
from trivium.recipes.align.dpo import dpo
from trivium.recipes.align.dpo_config import DPOConfig
from trivium.recipes.align.dpo_data import read_items
from trivium.recipes.training import TrainingConfig
from trivium.training.optimisers import OptimiserConfig
from trivium.training.run import Run

OFTEN = TrainingConfig(checkpoint_every_steps=2, evaluate_every_steps=4, log_every_steps=1)
FAST = OptimiserConfig(learning_rate=2e-3, weight_decay=0.0)


def write_lines(path: pathlib.Path, rows: list[dict[str, Any]]) -> pathlib.Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def preferences(count: int = 40) -> list[dict[str, Any]]:
    return [{"prompt": f"is it {n}?", "chosen": f"yes, {n} it is", "rejected": f"no, {n} never!"} for n in range(count)]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return write_lines(tmp_path_factory.mktemp("data") / "pairs.jsonl", preferences())


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, pairs: pathlib.Path) -> pathlib.Path:
    return write_gpt2(tmp_path_factory.mktemp("base") / "model", pairs.read_text())


def config(model: pathlib.Path, data: pathlib.Path, output: pathlib.Path, **settings: Any) -> DPOConfig:
    options: dict[str, Any] = {"steps": 4, "rows": 4, "context_tokens": 64, "prompt_format": "plain", "optimiser": FAST}
    return DPOConfig(model=model, data=data, output=output, **(options | {"training": OFTEN} | settings))


@pytest.fixture
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe, "write_run_report", lambda *given, **named: None)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_the_chosen_rises_above_the_rejected(
    method: Any, model: pathlib.Path, pairs: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    run = dpo(config(model, pairs, tmp_path, method=method, steps=12))
    rows = run.metrics()
    assert rows[0]["reward_margin"] == 0 and rows[0]["log_ratio"] == 0 and rows[0]["reward_accuracy"] == 0.5
    assert rows[-1]["reward_margin"] > 0.1 and rows[-1]["reward_accuracy"] > 0.9 and rows[-1]["log_ratio"] > 0
    assert rows[-1]["validation_loss"] < 0.65
    before, after = trivium.load(model), trivium.load(run.folder)
    held = preferences(50)[40:]
    changes = {}
    for side in ("chosen", "rejected"):
        asked = [(row["prompt"], row[side]) for row in held]
        scores = [[score.logprob for score in each.score(asked)] for each in (after, before)]
        changes[side] = sum(scores[0]) - sum(scores[1])
    assert changes["chosen"] > changes["rejected"] + 1
    page = run.report.read_text()
    assert "What was preferred" in page and "share of pairs with the better answer ahead" in page
    assert said(run)["objective"] == "dpo" and said(run)["pairs"] == len(preferences()) - _held_out(pairs, model)


def _held_out(pairs: pathlib.Path, model: pathlib.Path) -> int:
    tokenizer = trivium.load(model).tokenizer
    assert tokenizer is not None
    return len(read_items(config(model, pairs, pairs.parent), tokenizer).held_out)


def test_an_adapter_that_goes_on_is_its_own_reference(
    model: pathlib.Path, pairs: pathlib.Path, tmp_path: pathlib.Path, no_report: None
) -> None:
    """It is far from its base by now: held near that, its reward would begin elsewhere."""
    examples = [{"prompt": row["prompt"], "completion": row["rejected"]} for row in preferences()]
    data = write_lines(tmp_path / "examples.jsonl", examples)
    begun = tuned(model, data, tmp_path, "lora", run="begun", steps=8, optimiser=FAST)
    run = dpo(config(begun.folder, pairs, tmp_path))
    first = run.metrics()[0]
    assert first["reward_margin"] == 0 and first["log_ratio"] == 0
    assert said(run)["adapter"] == str(begun.folder) and said(run)["method"] == "lora"
    assert run.metrics()[-1]["reward_margin"] > 0
    of_base, of_adapter = (
        dpo(config(start, pairs, tmp_path, run=name)).metrics()[0]["rejected_log_prob"]
        for start, name in ((model, "a"), (begun.folder, "b"))
    )
    assert of_adapter > of_base + 1


def test_a_reference_that_is_another_model_is_noticed(
    model: pathlib.Path, pairs: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bug: the reference of an adapter that goes on is the bare base."""
    from trivium.adapters.routing import bare

    begun = dpo(config(model, pairs, tmp_path, method="lora", run="begun"))
    monkeypatch.setattr(recipe, "as_now", lambda network: bare)
    with pytest.raises(AssertionError, match="not what training begins with"):
        dpo(config(begun.folder, pairs, tmp_path))


def test_a_stored_reference_is_the_same_reference(
    model: pathlib.Path, pairs: pathlib.Path, tmp_path: pathlib.Path, no_report: None
) -> None:
    for objective in ("dpo", "kto"):
        runs = [
            dpo(
                config(
                    model,
                    pairs,
                    tmp_path,
                    objective=objective,
                    method="lora",
                    store_reference=stored,
                    run=f"{objective}{stored}",
                )
            )
            for stored in (False, True)
        ]
        for own, other in zip(*(run.metrics() for run in runs), strict=True):
            assert own["loss"] == pytest.approx(other["loss"], abs=1e-5)
        assert runs[1].metrics()[-1]["loss"] < runs[1].metrics()[0]["loss"]


RESUMED = [
    {"objective": "dpo", "method": "lora", "lora": LoRAConfig(rank=2, dropout=0.1, targets="all-linear")},
    {"objective": "dpo", "method": "full", "store_reference": True},
    {"objective": "kto", "method": "qlora"},
    {"objective": "orpo", "method": "full"},
]


@pytest.mark.parametrize("settings", RESUMED, ids=lambda settings: f"{settings['objective']}-{settings['method']}")
def test_a_run_that_was_killed_goes_on_bit_for_bit(
    settings: dict[str, Any],
    model: pathlib.Path,
    pairs: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    no_report: None,
) -> None:
    def carry_out(**given: Any) -> Run:
        return dpo(config(model, pairs, tmp_path, steps=7, **settings, **given))

    assert_resumes_bit_for_bit(carry_out, monkeypatch, at=6)
    lines = [
        [{**row, "seconds": 0, "tokens_per_second": 0} for row in Run.open(tmp_path / name).metrics()]
        for name in ("whole", "killed")
    ]
    assert lines[0] == lines[1]


def test_a_run_is_not_resumed_on_another_model(
    model: pathlib.Path, pairs: pathlib.Path, tmp_path: pathlib.Path, no_report: None
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(model, folder)
    dpo(config(folder, pairs, tmp_path, method="lora"))
    other = trivium.load(folder)
    with torch.no_grad():
        other.network.embedding.weight += 1
    trivium.save(other, folder)
    with pytest.raises(CheckpointError, match="started from other weights"):
        dpo(config(folder, pairs, tmp_path, method="lora", resume=True))


def test_falling_chosen_answers_are_told(
    model: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Answers that begin alike and differ in one letter pull each other down."""
    rows = [{"prompt": f"is it {n}?", "chosen": f"no, {n} never.", "rejected": f"no, {n} never!"} for n in range(40)]
    data = write_lines(tmp_path / "alike.jsonl", rows)
    first = [{"prompt": row["prompt"], "completion": row["chosen"]} for row in rows]
    base = tuned(
        model, write_lines(tmp_path / "first.jsonl", first), tmp_path, "full", run="base", steps=40, optimiser=FAST
    )
    falling = dpo(config(base.folder, data, tmp_path, run="falling", objective="simpo", gamma=6.0, steps=20))
    assert "the chosen answers have become less likely: by" in capsys.readouterr().err
    assert "The chosen answers have become less likely" in falling.report.read_text()
    held = dpo(config(base.folder, data, tmp_path, run="held", nll_weight=5.0, steps=20))
    assert "less likely" not in capsys.readouterr().err and "less likely" not in held.report.read_text()


# What cannot be used --------------------------------------------------------------------------------------------------


def one(n: int, **fields: Any) -> dict[str, Any]:
    return {"prompt": f"is it {n}?", **fields}


LABELS = [one(n, completion=("no, never!", "yes, it is")[n % 2], label=n % 2 == 1) for n in range(20)]
GOOD = [one(n, completion=f"yes, {n} it is", label=True) for n in range(20)]
SAME = [one(n, chosen="yes", rejected="yes") for n in range(20)]
REFUSED: dict[str, tuple[list[dict[str, Any]], dict[str, Any], str]] = {
    "no pairs": (LABELS, {}, "objective kto"),
    "identical": (SAME, {}, "20 of identical answers"),
    "one class": (GOOD, {"objective": "kto"}, "all good"),
    "one prompt": ([one(1, completion=c, label=c == "a") for c in "ab"], {"objective": "kto"}, "one prompt"),
    "long": (preferences(), {"context_tokens": 8}, "set context_tokens to"),
    "refuse": (preferences(), {"context_tokens": 20, "too_long": "refuse"}, r"line 1\d: 22 tokens"),
    "margins": (preferences(), {"margin_weight": 1.0}, "no pair has a margin"),
}


@pytest.mark.parametrize(("rows", "settings", "told"), REFUSED.values(), ids=REFUSED)
def test_data_that_cannot_be_used_is_told(
    rows: list[dict[str, Any]], settings: dict[str, Any], told: str, model: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    data = write_lines(tmp_path / "data.jsonl", rows)
    for ask in (dpo, directing):
        with pytest.raises(DataError, match=told):
            ask(config(model, data, tmp_path, **settings))
    assert not (tmp_path / "dpo").exists()


def test_labels_teach_kto_and_pairs_are_split_for_it(
    model: pathlib.Path, pairs: pathlib.Path, tmp_path: pathlib.Path, no_report: None
) -> None:
    run = dpo(config(model, write_lines(tmp_path / "l.jsonl", LABELS), tmp_path, objective="kto", steps=10))
    first, last = run.metrics()[0], run.metrics()[-1]
    assert first["good_reward"] == first["bad_reward"] == first["divergence"] == 0 and first["loss"] == 0.5
    assert last["good_reward"] - last["bad_reward"] > 0.01 and last["loss"] < 0.5
    tokenizer = trivium.load(model).tokenizer
    assert tokenizer is not None
    items = read_items(config(model, pairs, tmp_path, objective="kto"), tokenizer)
    assert len(items.training) + len(items.held_out) == 80 and items.what == "answers"


def test_long_texts_are_left_out_or_cut(model: pathlib.Path, tmp_path: pathlib.Path) -> None:
    tokenizer = trivium.load(model).tokenizer
    assert tokenizer is not None
    rows = [*preferences(20), one(77, chosen="yes, 7 it is, it is", rejected="yes, 7 it is, never!")]
    data = write_lines(tmp_path / "data.jsonl", rows)
    whole = read_items(config(model, data, tmp_path, context_tokens=64), tokenizer)
    assert (whole.dropped, whole.cut, whole.longest) == (0, 0, 29)
    dropped = read_items(config(model, data, tmp_path, context_tokens=21), tokenizer)
    assert (dropped.dropped, dropped.longest) == (11, 29)
    cut = read_items(config(model, data, tmp_path, context_tokens=21, too_long="cut"), tokenizer)
    assert cut.dropped == 1 and cut.cut == 20  # what is alike once cut is no pair
    for item in (*cut.training, *cut.held_out):
        assert isinstance(item, PairExample)
        assert max(len(item.chosen.ids), len(item.rejected.ids)) <= 22
        assert (item.rejected.ids[-1] == tokenizer.eos_id) == (len(item.rejected.ids) < 22)


def test_those_of_one_prompt_are_on_one_side_and_ranked_ones_share_their_weight(
    model: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    tokenizer = trivium.load(model).tokenizer
    assert tokenizer is not None
    rows = [one(n, answers=["yes", "no", "never"], ranks=[1, 2, 3]) for n in range(40)]
    items = read_items(config(model, write_lines(tmp_path / "r.jsonl", rows), tmp_path), tokenizer)
    prompts = [
        {
            tuple(i for i, t in zip(item.chosen.ids, item.chosen.trained, strict=True) if not t)
            for item in side
            if isinstance(item, PairExample)
        }
        for side in (items.training, items.held_out)
    ]
    assert prompts[0] and prompts[1] and not prompts[0] & prompts[1]
    assert len(items.training) == 3 * len(prompts[0])
    assert {item.weight for item in items.training} == {1 / 3}


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"objective": "ipo", "nll_weight": 1.0}, "ipo reads no nll_weight"),
        ({"objective": "dpo", "gamma": 1.0}, "choose the objective simpo"),
        ({"objective": "dpo", "desirable_weight": 1.0}, "choose the objective kto"),
        ({"objective": "simpo", "store_reference": True}, "no reference to store"),
        ({"beta": 0.0}, "beta must be"),
        ({"rows": 0}, "rows must be"),
    ],
)
def test_settings_that_are_not_read_are_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        DPOConfig(model=pathlib.Path("m"), data=pathlib.Path("d"), **settings)


def test_models_and_processes_that_cannot_learn_so(
    model: pathlib.Path, pairs: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    with pytest.raises(Unsupported, match="not sharded"):
        dpo(config(model, pairs, tmp_path, training=TrainingConfig(several_processes="shard")))
    with pytest.raises(DataError, match="cannot read rows of this length"):
        dpo(config(model, pairs, tmp_path, context_tokens=500))


def test_what_a_run_will_need(model: pathlib.Path, pairs: pathlib.Path, tmp_path: pathlib.Path) -> None:
    full = directing(config(model, pairs, tmp_path, method="full", optimiser=OptimiserConfig()))
    assert full["data"].startswith(f"{40 - _held_out(pairs, model)} pairs to train on")
    assert full["learning_rate"] == pytest.approx(1e-4) and full["steps"] == 4
    assert full["memory_mib"]["reference_mib"] == pytest.approx(full["trained_parameters"] * 4 / 2**20, abs=0.06)
    stored = directing(config(model, pairs, tmp_path, method="lora", store_reference=True))
    assert "reference_mib" not in stored["memory_mib"]
    assert stored["trained_parameters"] < full["trained_parameters"] / 4
    assert not (tmp_path / "dpo").exists()
