"""Sizes grow with time, shrink with little text, and every choice is explained."""

import math

import pytest

from trivium.errors import ConfigError
from trivium.planning import sizing
from trivium.planning.sizing import Shape, bytes_per_token, plan, vocabulary_for


def speed_of(operations_a_second: float):
    return lambda shape: operations_a_second / (6 * shape.parameters)


def test_parameters_are_those_of_the_network():
    from trivium.recipes.pretrain import ModelConfig, build_model

    shape = Shape(layers=2, width=64, heads=2, inner_width=192, vocabulary_size=512)
    config = ModelConfig(width=64, layers=2, heads=2, inner_width=192)
    network = build_model(config, 512, 32)
    norms = sum(p.numel() for p in network.parameters() if p.ndim == 1)
    assert shape.parameters == sum(p.numel() for p in network.parameters()) - norms


def test_more_time_makes_larger_models_and_more_steps():
    plans = [plan(minutes * 60, 800_000_000, speed_of(5e10)) for minutes in (5, 60, 6000)]
    sizes = [p.shape.parameters for p in plans]
    assert sizes == sorted(sizes) and sizes[0] < sizes[-1]
    assert plans[0].tokens < plans[1].tokens < plans[2].tokens


def test_five_minutes_on_two_cores_make_a_million_parameters():
    chosen = plan(200, 8_000_000, speed_of(6e10))
    assert 2e5 < chosen.shape.parameters < 3e6
    assert 4096 <= chosen.shape.vocabulary_size <= 8192
    assert chosen.rows * chosen.context_tokens >= 2048


def test_speed_is_measured_only_as_far_as_needed():
    asked: list[Shape] = []

    def speed(shape: Shape) -> float:
        asked.append(shape)
        return 5e10 / (6 * shape.parameters)

    plan(100, 8_000_000, speed)
    assert 2 <= len(asked) < 9
    assert [s.parameters for s in asked] == sorted(s.parameters for s in asked)


def test_the_vocabulary_grows_with_the_text():
    sizes = [vocabulary_for(size) for size in (10_000, 2_400_000, 8_000_000, 10**12)]
    assert sizes == [512, 4096, 8192, 32_768]


def test_bytes_per_token_grows_with_the_vocabulary():
    assert 1.5 < bytes_per_token(512) < bytes_per_token(2048) < bytes_per_token(32_768) < 5


def test_every_decision_has_a_reason():
    decisions = plan(100, 8_000_000, speed_of(5e10)).decisions
    assert [d.what for d in decisions] == ["model", "vocabulary", "heads", "batch", "steps"]
    assert all(len(d.reason) > 20 and d.value for d in decisions)


def test_too_little_time_is_refused_with_the_fix():
    with pytest.raises(ConfigError, match="too little time") as caught:
        plan(1, 8_000_000, speed_of(1e9))
    assert "minutes" in str(caught.value)


def test_measuring_stops_where_a_larger_model_is_no_better(monkeypatch: pytest.MonkeyPatch):
    asked: list[Shape] = []

    def speed(shape: Shape) -> float:
        asked.append(shape)
        return 1e4

    monkeypatch.setattr(sizing, "_foretold", lambda *_: math.inf)
    plan(100, 8_000_000, speed)
    assert len(asked) == 2
