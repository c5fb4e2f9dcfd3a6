"""Strict configuration: what is accepted, what is refused, and how every mistake is told at once."""

import dataclasses
import pathlib
from typing import Literal

import pytest
import yaml

from trivium import config
from trivium.errors import ConfigError, StorageError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shape:
    width: int
    heads: int = 2
    kind: Literal["llama", "gpt2"] = "llama"

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ConfigError("width is not a multiple of heads", received=self.width, fix="set width 128")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    model: Shape
    data: tuple[pathlib.Path, ...] = ()
    rate: float = 1e-3
    steps: int | None = None
    name: str = "run"
    compile: bool = False
    weights: dict[str, float] = dataclasses.field(default_factory=dict)
    betas: tuple[float, float] = (0.9, 0.95)


def refused(mapping: object) -> str:
    with pytest.raises(ConfigError) as caught:
        config.from_dict(Recipe, mapping)
    return str(caught.value)


def test_plain_values_become_the_dataclass():
    recipe = config.from_dict(Recipe, {"model": {"width": 64}, "data": ["a", "b"], "steps": 3, "rate": 1})
    assert recipe == Recipe(model=Shape(width=64), data=(pathlib.Path("a"), pathlib.Path("b")), steps=3, rate=1.0)
    assert isinstance(recipe.rate, float)


def test_yaml_round_trip_is_the_identity(tmp_path):
    recipe = Recipe(model=Shape(width=8, kind="gpt2"), data=(pathlib.Path("x"),), weights={"a": 0.5}, steps=7)
    file = tmp_path / "recipe.yaml"
    file.write_text(config.to_yaml(recipe))
    assert config.from_yaml(Recipe, file) == recipe
    assert list(yaml.safe_load(file.read_text())) == [field.name for field in dataclasses.fields(Recipe)]


def test_exponents_without_a_point_are_numbers(tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_text("model: {width: 8}\nrate: 3e-4\nsteps: 1e3\n")
    recipe = config.from_yaml(Recipe, file)
    assert (recipe.rate, recipe.steps) == (3e-4, 1000)


def test_every_mistake_is_told_at_once_with_its_path():
    message = refused(
        {
            "model": {"wdth": 3, "kind": "lama"},
            "steps": "many",
            "data": ["a", 3],
            "weights": {"x": "heavy"},
            "betas": [0.9],
            "nmae": "x",
        }
    )
    assert message.startswith("8 settings cannot be used in the configuration\n")
    for path in ("model.width: this setting is missing", "model.wdth", "model.kind", "steps", "data[1]", "weights.x"):
        assert f"  {path}" in message
    assert "betas: the value cannot be used\n    received: [0.9]\n    expected: 2 values" in message
    for meant in ("did you mean width?", "did you mean llama?", "did you mean name?"):
        assert meant in message
    assert 'received: "many"\n    expected: a whole number' in message


@pytest.mark.parametrize(
    ("mapping", "said"),
    [
        ({"width": True}, "a whole number"),
        ({"width": 8.0}, "a whole number"),
        ({"width": "8"}, "a whole number"),
        ({"width": None}, "a whole number"),
        ({"width": 8, "heads": [2]}, "a whole number"),
        ({"width": 8, "kind": 1}, "one of llama, gpt2"),
    ],
)
def test_nothing_is_coerced(mapping, said):
    message = refused({"model": mapping})
    assert f"expected: {said}" in message
    assert "model." in message


@pytest.mark.parametrize(
    ("mapping", "path", "said"),
    [
        ({"compile": 1}, "compile", "true or false"),
        ({"compile": "yes"}, "compile", "true or false"),
        ({"name": 3}, "name", "put it in quotes"),
        ({"data": "abc"}, "data", "write it as [a, b]"),
        ({"rate": "fast"}, "rate", "a number"),
        ({"rate": True}, "rate", "a number"),
        ({"weights": 3}, "weights", "a mapping"),
    ],
)
def test_wrong_types_are_refused(mapping, path, said):
    message = refused({"model": {"width": 8}, **mapping})
    assert message.startswith(f"{path}: the value cannot be used (in the configuration)")
    assert said in message


def test_an_impossible_combination_keeps_its_own_words_and_gains_its_path():
    message = refused({"model": {"width": 7}})
    assert message.startswith("model: width is not a multiple of heads")
    assert "received: 7" in message
    assert "fix:      set width 128" in message


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inner:
    shape: Shape = dataclasses.field(default_factory=lambda: Shape(width=6, heads=3))
    weights: dict[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outer:
    inner: Inner = dataclasses.field(
        default_factory=lambda: Inner(shape=Shape(width=9, heads=3), weights={"a": 1.0, "b": 2.0})
    )
    other: Shape | None = None


def test_a_part_that_is_given_in_part_keeps_the_rest_of_its_own_default():
    """At any depth; a dictionary is a value, and is replaced, and what may be absent has no default to keep."""
    built = config.from_dict(Outer, {"inner": {"shape": {"width": 12}}})
    assert built.inner == Inner(shape=Shape(width=12, heads=3), weights={"a": 1.0, "b": 2.0})
    built = config.from_dict(Outer, {"inner": {"weights": {"c": 3.0}}, "other": {"width": 4}})
    assert built == Outer(inner=Inner(shape=Shape(width=9, heads=3), weights={"c": 3.0}), other=Shape(width=4, heads=2))
    with pytest.raises(ConfigError, match=r"inner\.shape\.wdth: there is no such setting"):
        config.from_dict(Outer, {"inner": {"shape": {"wdth": 12}}})
    with pytest.raises(ConfigError, match=r"(?s)inner\.shape: width is not a multiple of heads.*received: 10"):
        config.from_dict(Outer, {"inner": {"shape": {"width": 10}}})


@pytest.mark.parametrize("mapping", [3, "text", None, [1]])
def test_a_configuration_that_is_no_mapping_is_refused(mapping):
    assert "expected: a mapping of settings" in refused(mapping)


def test_a_missing_file_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError, match="cannot be read"):
        config.from_yaml(Recipe, tmp_path / "absent.yaml")


@pytest.mark.parametrize(
    "text", ["a: [1", "a: b: c", "!!python/object/apply:os.system ['true']", "- 1\n- 2\n", "a: 2024-13-45"]
)
def test_bad_or_unsafe_yaml_is_a_config_error(tmp_path, text):
    file = tmp_path / "recipe.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError):
        config.from_yaml(Recipe, file)


def test_bytes_that_are_no_text_are_a_config_error(tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_bytes(b"\xff\xfe\x00a")
    with pytest.raises(ConfigError, match="not UTF-8"):
        config.from_yaml(Recipe, file)


def test_an_empty_file_is_an_empty_mapping(tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_text("# nothing yet\n")
    assert config.read_yaml(file) == {}


def test_nesting_without_end_is_a_config_error(tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_text("a: " + "[" * 5000 + "]" * 5000)
    with pytest.raises(ConfigError, match="nested too deeply"):
        config.read_yaml(file)


@pytest.mark.parametrize("text", ["steps: 1\nsteps: 2\n", "model: {width: 8, width: 16}\n"])
def test_a_setting_given_twice_is_refused(tmp_path, text):
    file = tmp_path / "recipe.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match="set more than once"):
        config.read_yaml(file)
