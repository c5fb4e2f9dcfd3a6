"""What `--reward` may name, and what is said of a name that calls nothing."""

import pathlib
import sys
import types
from typing import Any

import pytest
import torch

from tests.lm import small
from trivium.adapters.adapter_set import adapters_of, has_adapters
from trivium.adapters.attach import adapter_parameters, attach
from trivium.adapters.extended import ExtendedLoRAConfig
from trivium.adapters.lora import LoRAConfig
from trivium.adapters.routing import activate
from trivium.adapters.sites import ALL_LINEAR
from trivium.adapters.trained_copy import TrainedCopyConfig
from trivium.checkpoints.adapter_folder import write_adapter
from trivium.checkpoints.folder import new_folder
from trivium.checkpoints.model_folder import load_model, save_folder
from trivium.checkpoints.provenance import parent_facts
from trivium.errors import ConfigError, DataError, UserError
from trivium.evaluation.verifiers import Trial
from trivium.lm.load import load
from trivium.lm.reward import load_reward
from trivium.lm.reward_rows import RewardFacts
from trivium.models.scored import with_scores
from trivium.recipes.align.rewards import reward_of, weighted
from trivium.training.rewards import CheckedReward, Reward

PROMPTS, ANSWERS = ["1 + 1?", "2 + 2?"], ["It is 2", "It is 5, I think"]
WANTED = {"1 + 1?": "2", "2 + 2?": "4"}
FUNCTIONS = """
import dataclasses

@dataclasses.dataclass
class Words:
    text: str

def brevity(prompts, answers):
    return [-float(len(Words(answer).text.split())) for answer in answers]

def one(answers):
    return [0.0]

class Taste:
    def __call__(self, prompts, answers):
        return [1.0 for _ in answers]

taste = Taste()
number = 3
"""


@pytest.fixture
def file(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "own.py").write_text(FUNCTIONS)
    return tmp_path / "own.py"


def given(*names: str, **more: Any) -> list[Any]:
    return list(reward_of(names, wanted=WANTED, **more)(PROMPTS, ANSWERS))


def test_a_verifier_by_name() -> None:
    assert given("number") == [1.0, 0.0]
    assert given("number", trial=Trial(partial=True)) == [1.0, 0.75]
    assert isinstance(reward_of(["number"], wanted=WANTED), Reward)


def test_a_verifier_that_wants_the_same_of_every_answer() -> None:
    assert given("contains:think") == [0.0, 1.0]
    assert given("length:1-3") == [1.0, 0.0]
    assert given("format:It is [0-9]") == [1.0, 0.0]
    assert given("format:It: .*") == [0.0, 0.0]


def test_rewards_add_up_with_their_weights() -> None:
    assert given("number=2", "length:1-3=0.5") == [2.5, 0.0]
    assert given("number=-1") == [-1.0, 0.0]
    assert given("number", "number") == [2.0, 0.0]


def test_a_function_of_a_file(file: pathlib.Path) -> None:
    assert given(f"{file}:brevity") == [-3.0, -5.0]
    assert given(f"{file}:taste", f"{file}:brevity=0.5") == [-0.5, -1.5]


def test_a_function_of_a_module(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = types.ModuleType("own_rewards")
    module.zero = lambda prompts, answers: [0.0] * len(answers)
    monkeypatch.setitem(sys.modules, "own_rewards", module)
    assert given("own_rewards:zero") == [0.0, 0.0]
    assert given("own_rewards:zero=2", "number") == [1.0, 0.0]


@pytest.mark.parametrize(
    ("text", "name", "weight"),
    [
        ("number", "number", 1.0),
        ("number=0.5", "number", 0.5),
        ("format:a=b", "format:a=b", 1.0),
        ("format:a=b=-2e-1", "format:a=b", -0.2),
        ("runs/lr=3/x", "runs/lr=3/x", 1.0),
        ("=3", "=3", 1.0),
    ],
)
def test_the_weight_of_a_name(text: str, name: str, weight: float) -> None:
    assert weighted(text) == (name, weight)


@pytest.mark.parametrize("text", ["number=nan", "number=inf", "number=0"])
def test_a_weight_that_is_none(text: str) -> None:
    with pytest.raises(ConfigError, match="finite weight"):
        weighted(text)


def refused(*names: str) -> str:
    with pytest.raises(UserError) as caught:
        given(*names)
    return str(caught.value)


def test_a_name_that_calls_nothing(file: pathlib.Path) -> None:
    assert "did you mean number?" in refused("numbr")
    assert "there is no such reward" in refused("runs/no-such-folder")
    assert "no reward" in refused()
    assert "there is no such file" in refused(f"{file.parent}/other.py:brevity")
    assert "did you mean brevity?" in refused(f"{file}:brevit")
    assert "number, which is int" in refused(f"{file}:number")
    told = refused("no_such_module_anywhere:f")
    assert "ModuleNotFoundError" in told and "name its file: path/to/no_such_module_anywhere.py" in told
    assert "format cannot want this of every answer" in refused("format:(")


def test_a_function_that_does_not_take_prompts_and_answers(file: pathlib.Path) -> None:
    told = refused(f"{file}:one")
    assert "cannot be called with prompts and answers" in told and "def reward(prompts" in told


def test_a_file_that_cannot_be_imported(tmp_path: pathlib.Path) -> None:
    (tmp_path / "broken.py").write_text("import no_such_module_anywhere\n")
    told = refused(f"{tmp_path}/broken.py:f")
    assert "cannot be imported" in told and "no_such_module_anywhere" in told
    assert "trivium_reward_broken" not in sys.modules
    (tmp_path / "wrong.py").write_text("def f(:\n")
    assert "SyntaxError" in refused(f"{tmp_path}/wrong.py:f")


def test_nothing_is_imported_that_was_not_named(file: pathlib.Path) -> None:
    file.write_text("raise AssertionError('imported')\n")
    assert given("number", f"contains:{file}:brevity") == [1.0, 0.0]


def test_prompts_without_an_answer_are_told_before_anything_is_trained() -> None:
    with pytest.raises(DataError, match="nothing to compare") as caught:
        reward_of(["number"], wanted=WANTED, conversations={"1 + 1?": [], "3 + 3?": []})
    assert "1 of 2 prompts" in str(caught.value) and "3 + 3?" in str(caught.value)
    with pytest.raises(DataError, match="nothing to compare"):
        reward_of(["number"], wanted={})
    assert reward_of(["length:3"], wanted={}, conversations={"3 + 3?": []})


# Reward models --------------------------------------------------------------------------------------------------------

ASKED, SAID = ["did the cat sit?", "a dog?"], ["the cat sat on the mat", "no"]
FACTS = RewardFacts(criteria=("preference",), weights=(1.0,), context_tokens=60)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Two bases, the adapter of a reward model for each, and a whole reward model."""
    place, tokenizer = tmp_path_factory.mktemp("rewards"), small.byte_tokenizer()
    for seed, name in enumerate(("base", "other")):
        base = small.network("llama", tokenizer.vocabulary_size).float()
        torch.manual_seed(seed)
        torch.nn.init.normal_(next(base.parameters()))
        save_folder(place / name, base, tokenizer=tokenizer)
        network = with_scores(load_model(place / name), FACTS.criteria)
        update = LoRAConfig(rank=2, targets=ALL_LINEAR, exclude=("score",))
        attach(network, "own", ExtendedLoRAConfig(update=update, copies=TrainedCopyConfig(modules=("score",))))
        with torch.no_grad():
            for parameter in adapter_parameters(network, "own").values():
                parameter += 0.3 * torch.randn_like(parameter)
        with new_folder(place / f"{name}_reward") as writer:
            facts = {**FACTS.to_json(), **parent_facts(place / name)}
            write_adapter(writer, network, "own", base=str(place / name), metadata=facts)
    whole = with_scores(small.network("llama", tokenizer.vocabulary_size).float(), FACTS.criteria)
    save_folder(place / "whole", whole, tokenizer=tokenizer, metadata=FACTS.to_json())
    return place


def scored(folder: pathlib.Path, **more: Any) -> list[float]:
    reward = reward_of([str(folder)], wanted={}, **more)
    return list(reward(ASKED, SAID))


def alone(folder: pathlib.Path, asked: list[Any] = ASKED) -> Any:
    return pytest.approx(load_reward(folder, device="cpu")(asked, SAID), abs=1e-4)


def test_a_reward_model_of_a_folder(folders: pathlib.Path) -> None:
    assert scored(folders / "whole") == alone(folders / "whole")
    doubled = reward_of([f"{folders / 'whole'}=2", "contains:no"], wanted={})
    first, second = load_reward(folders / "whole", device="cpu")(ASKED, SAID)
    assert list(doubled(ASKED, SAID)) == pytest.approx([2 * first, 2 * second + 1], abs=1e-4)


def test_a_reward_model_is_shown_the_conversation(folders: pathlib.Path) -> None:
    turns = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "hello"},
        {"role": "user", "content": ASKED[1]},
    ]
    found = scored(folders / "whole", conversations={ASKED[1]: turns})
    assert found == alone(folders / "whole", [ASKED[0], turns]) != alone(folders / "whole")


def test_adapters_for_one_base_share_it(folders: pathlib.Path) -> None:
    policy = load(folders / "base", device="cpu")
    attach(policy.network, "reward", LoRAConfig(rank=2, targets=("q_proj",)))
    activate(policy.network, "reward")
    reward, gold = (str(folders / "base_reward") for _ in range(2))
    first = reward_of([reward], wanted={}, on=policy)
    second = reward_of([gold, "contains:no"], wanted={}, on=policy)
    assert list(adapters_of(policy.network).configs) == ["reward", "reward2", "reward3"]
    assert adapters_of(policy.network).routing.active == "reward"
    expected = load_reward(folders / "base_reward", device="cpu")(ASKED, SAID)
    assert list(first(ASKED, SAID)) == pytest.approx(expected, abs=1e-4)
    assert list(second(ASKED, SAID)) == pytest.approx([expected[0], expected[1] + 1], abs=1e-4)


def test_an_adapter_for_another_base_is_loaded_with_its_own(folders: pathlib.Path) -> None:
    policy = load(folders / "base", device="cpu")
    assert scored(folders / "other_reward", on=policy) == alone(folders / "other_reward")
    assert scored(folders / "whole", on=policy) == alone(folders / "whole")
    assert not has_adapters(policy.network)


def test_a_folder_without_a_reward_model_is_refused(folders: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError):
        reward_of([str(tmp_path)], wanted={})
    with pytest.raises(UserError, match="gives no scores"):
        reward_of([str(folders / "base")], wanted={})


def test_it_can_be_checked(folders: pathlib.Path) -> None:
    checked = CheckedReward(reward_of([str(folders / "whole"), "contains:no=0.5"], wanted={}))
    assert all(isinstance(value, float) for value in checked(ASKED, SAID))
