"""What --dry-run foretells of a reward model, beside what the run does."""

import pathlib

import pytest

from tests.recipes.align import judging
from trivium.cli.dry_run.rewarding import rewarding
from trivium.errors import ConfigError, StorageError, Unsupported
from trivium.lm.load import load
from trivium.recipes.align.reward_config import RewardConfig


def test_it_foretells_the_run(tmp_path: pathlib.Path) -> None:
    base = judging.model(tmp_path / "base")
    data = judging.written(tmp_path / "pairs.jsonl", judging.pairs())
    config = RewardConfig(
        model=base, data=data, output=tmp_path, prompt_format="plain", rows=8, device="cpu", members=2
    )
    facts = rewarding(config)
    assert (facts["loss"], facts["criteria"], facts["method"]) == ("bradley-terry", "preference", "full")
    assert not (tmp_path / "reward").exists()
    run = judging.judged(base, data, tmp_path, steps=None)
    rows = run.metrics()
    assert rows[-1]["step"] == facts["steps"]
    assert rows[-1]["tokens"] == pytest.approx(facts["tokens"], rel=0.1)
    with pytest.raises(StorageError):
        rewarding(config)
    adapted = RewardConfig(model=base, data=data, output=tmp_path, run="a", method="lora", prompt_format="plain")
    run = judging.judged(base, data, tmp_path, run="lora", method="lora", steps=2)
    trained = load(run.folder, device="cpu").network
    count = sum(p.numel() for name, p in trained.named_parameters() if ".updates." in name)
    assert rewarding(adapted)["trained_parameters"] == count
    with pytest.raises(Unsupported, match="this is an adapter"):
        rewarding(RewardConfig(model=run.folder, data=data, output=tmp_path, run="b"))
    with pytest.raises(ConfigError, match="nothing for the loss"):
        rewarding(RewardConfig(model=base, data=data, output=tmp_path, run="c", loss="logistic"))
