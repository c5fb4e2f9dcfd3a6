"""From words and YAML to a configuration: which wins, what is refused, and in whose words."""

import dataclasses
import pathlib
from typing import Literal

import pytest

from trivium.cli import arguments
from trivium.cli.verbs import Verb
from trivium.errors import ConfigError, StorageError, UserError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optimiser:
    """How weights move."""

    rate: float = 1e-3
    """Learning rate."""
    kind: Literal["adamw", "muon"] = "adamw"
    """Which rule."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """Trains something."""

    data: tuple[pathlib.Path, ...]
    """Where the text is."""
    optimiser: Optimiser = dataclasses.field(default_factory=Optimiser)
    steps: int = 10
    """Updates."""
    warmup: int = 0
    """Updates of warm-up."""

    def __post_init__(self) -> None:
        if self.warmup > self.steps:
            raise ConfigError("warm-up is longer than the run", received=self.warmup, fix="set --warmup 0")


SETTINGS = (f"{__name__}:Recipe",)
TRAINING = Verb(
    name="pretrain", summary="train", module="", settings=SETTINGS, example="trivium pretrain r.yaml", leading="recipe"
)
USING = Verb(
    name="evaluate", summary="measure", module="", settings=SETTINGS, example="trivium evaluate m", leading="data"
)
PLAIN = Verb(name="doctor", summary="look", module="", settings=SETTINGS, example="trivium doctor")


@pytest.fixture
def recipe(tmp_path):
    def write(text: str) -> str:
        file = tmp_path / "recipe.yaml"
        file.write_text(text)
        return str(file)

    return write


def test_flags_alone():
    settings = arguments.parse(Recipe, TRAINING, ["--data", "a", "b", "--optimiser.rate", "0.5"])
    assert settings == Recipe(data=(pathlib.Path("a"), pathlib.Path("b")), optimiser=Optimiser(rate=0.5))


def test_flags_override_the_recipe_and_the_rest_of_it_stays(recipe):
    file = recipe("data: [a]\nsteps: 5\noptimiser: {rate: 3e-4, kind: muon}\n")
    settings = arguments.parse(Recipe, TRAINING, [file, "--steps", "7", "--optimiser.rate", "1"])
    assert settings == Recipe(data=(pathlib.Path("a"),), steps=7, optimiser=Optimiser(rate=1.0, kind="muon"))


def test_a_recipe_may_leave_to_the_flags_what_is_required(recipe):
    settings = arguments.parse(Recipe, TRAINING, [recipe("steps: 5\n"), "--data", "a"])
    assert (settings.steps, settings.data) == (5, (pathlib.Path("a"),))


def test_a_recipe_without_what_is_required_is_refused(recipe):
    with pytest.raises(ConfigError) as caught:
        arguments.parse(Recipe, TRAINING, [recipe("steps: 5\n")])
    assert caught.value.what == "trivium pretrain needs --data"
    assert caught.value.expected == "--data: Where the text is"


def test_combinations_are_judged_after_the_flags(recipe):
    file = recipe("data: [a]\nsteps: 5\nwarmup: 8\n")
    assert arguments.parse(Recipe, TRAINING, [file, "--steps", "9"]).warmup == 8
    with pytest.raises(ConfigError) as caught:
        arguments.parse(Recipe, TRAINING, [file])
    assert caught.value.received == 8
    assert caught.value.fix == "set --warmup 0"


def test_every_mistake_of_a_recipe_is_told_at_once(recipe):
    file = recipe("data: a\nstps: 5\noptimiser: {rate: fast, kind: muo}\n")
    with pytest.raises(ConfigError) as caught:
        arguments.parse(Recipe, TRAINING, [file])
    message = str(caught.value)
    assert message.startswith("4 settings cannot be used in ")
    for part in ("data: the value", "stps: there is no such setting", "did you mean steps?", "optimiser.rate", "muon?"):
        assert part in message


def test_a_missing_recipe_is_told():
    with pytest.raises(StorageError):
        arguments.parse(Recipe, TRAINING, ["absent.yaml"])


def test_two_recipes_are_refused(recipe):
    with pytest.raises(UserError, match="more than one recipe"):
        arguments.parse(Recipe, TRAINING, [recipe(""), "other.yaml"])


def test_leading_words_belong_to_the_verbs_own_setting():
    settings = arguments.parse(Recipe, USING, ["a", "b", "--steps", "3"])
    assert settings == Recipe(data=(pathlib.Path("a"), pathlib.Path("b")), steps=3)


def test_a_verb_of_flags_takes_no_words():
    with pytest.raises(UserError, match="takes only flags"):
        arguments.parse(Recipe, PLAIN, ["a"])


@pytest.mark.parametrize(
    ("words", "what", "received", "fix"),
    [
        (["--steps", "many"], "--steps cannot be used", "many", "see `trivium pretrain --help`"),
        (["--stps", "3"], "trivium pretrain has no such setting", "--stps", "did you mean --steps?"),
        (["--rate", "3"], "trivium pretrain has no such setting", "--rate", "did you mean --optimiser.rate?"),
        (["--optimiser.kind", "muo"], "--optimiser.kind cannot be used", "muo", "did you mean muon?"),
        (["--steps"], "--steps has no value", None, "see `trivium pretrain --help`"),
        (
            ["--optimiser.rte", "3"],
            "trivium pretrain has no such setting",
            "--optimiser.rte",
            "did you mean --optimiser.rate?",
        ),
        (["--knd", "muon"], "trivium pretrain has no such setting", "--knd", "did you mean --optimiser.kind?"),
        (
            ["--optimiser", "muon"],
            "trivium pretrain has no such setting",
            "--optimiser",
            "name a part of it: --optimiser.rate, --optimiser.kind",
        ),
        (["-x"], "trivium pretrain has no such setting", "-x", "see `trivium pretrain --help`"),
        (["--minutes", "3"], "trivium pretrain takes no --minutes", "--minutes", "it takes as long as it takes"),
    ],
)
def test_each_slip_is_told_with_its_fix(words, what, received, fix):
    with pytest.raises(ConfigError) as caught:
        arguments.parse(Recipe, TRAINING, ["--data", "a", *words])
    assert (caught.value.what, caught.value.received, caught.value.fix) == (what, received, fix)
    assert caught.value.exit_code == 2


def test_words_without_quotes_are_told():
    with pytest.raises(ConfigError, match="words that belong to no setting") as caught:
        arguments.parse(Recipe, TRAINING, ["--data", "a", "--steps", "3", "more", "words"])
    assert caught.value.received == "more, words"
    assert "between quotes" in str(caught.value.fix)


def test_after_a_bare_double_dash_a_word_is_no_flag():
    assert arguments.parse(Recipe, USING, ["--steps", "3", "--", "a", "b"]) == Recipe(
        data=(pathlib.Path("a"), pathlib.Path("b")), steps=3
    )
    with pytest.raises(UserError, match="begins with a dash") as caught:
        arguments.parse(Recipe, USING, ["--", "--debug"])
    assert caught.value.fix == "write it as ./--debug"


def test_values_may_begin_with_a_dash():
    settings = arguments.parse(Recipe, USING, ["a", "--optimiser.rate", "-0.5"])
    assert settings.optimiser.rate == -0.5
    assert arguments.parse(Recipe, USING, ["--data=-x"]).data == (pathlib.Path("-x"),)


def test_help_holds_the_docstrings_under_the_fields(capsys):
    with pytest.raises(SystemExit) as caught:
        arguments.parse(Recipe, TRAINING, ["--help"])
    assert caught.value.code == 0
    said = capsys.readouterr().out
    for part in ("Trains something.", "Where the text is.", "Learning rate.", "trivium pretrain [RECIPE.yaml]"):
        assert part in said
