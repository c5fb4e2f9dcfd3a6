"""Reward models: the very row that was trained on is scored, alone, on a shared base, and as an ensemble."""

import dataclasses
import json
import pathlib
from typing import Any

import pytest
import torch

from tests.lm import small
from trivium.adapters.adapter_set import adapters_of
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
from trivium.checkpoints.vocabulary import grown
from trivium.errors import CheckpointError, ConfigError, DataError, NonFiniteError, Unsupported
from trivium.lm.load import load, save
from trivium.lm.reward import ENSEMBLE, load_reward, reward_of
from trivium.lm.reward_rows import RewardFacts
from trivium.lm.turns import answered_ids
from trivium.models.scored import with_scores
from trivium.recipes.merge import MergeConfig, merge

TWO = ("helpful", "harmless")
ASKED = ["did the cat sit?", [{"role": "user", "content": "a dog?"}], "what of the mat, and of the café?"]
ANSWERS = ["the cat sat on the mat", "no", "the dog ran to the cat"]
FACTS = RewardFacts(criteria=TWO, weights=(0.75, 0.25), bias=0.5, gain=3.0, context_tokens=60)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return small.byte_tokenizer()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("base")
    save_folder(folder / "lm", small.network("llama", tokenizer.vocabulary_size).float(), tokenizer=tokenizer)
    return folder / "lm"


def saved(
    folder: pathlib.Path, tokenizer: Any, facts: RewardFacts = FACTS, *, architecture: str = "llama", seed: int = 0
) -> Any:
    """A reward model, and its network."""
    network = small.network(architecture, tokenizer.vocabulary_size).float()
    torch.manual_seed(seed)  # after the network, which sets a seed of its own: only the heads differ
    network = with_scores(network, facts.criteria)
    save_folder(folder, network, tokenizer=tokenizer, metadata=facts.to_json())
    return network


def by_hand(network: Any, tokenizer: Any, facts: RewardFacts = FACTS) -> torch.Tensor:
    """[N, C], a row at a time."""
    found = []
    for asked, answer in zip(ASKED, ANSWERS, strict=True):
        turns = [{"role": "user", "content": asked}] if isinstance(asked, str) else asked
        prompt, written = answered_ids(tokenizer, turns, answer, facts.prompt_format)
        ids = torch.tensor([[*prompt, *written][-60:]])
        with torch.no_grad():
            found.append(network.classify(network(ids).hidden, None)[0].double())
    return torch.stack(found)


@pytest.mark.parametrize("architecture", ["llama", "lstm"])
def test_a_score_is_of_the_row_that_was_trained_on(architecture: str, tmp_path: pathlib.Path, tokenizer: Any) -> None:
    network = saved(tmp_path / "r", tokenizer, architecture=architecture).eval()
    reward = load_reward(tmp_path / "r", device="cpu")
    assert reward.criteria == TWO
    numbers = by_hand(network, tokenizer)
    torch.testing.assert_close(reward.scores(ASKED, ANSWERS), numbers, rtol=0, atol=1e-5)
    expected = ((numbers @ torch.tensor([0.75, 0.25], dtype=torch.float64) - 0.5) * 3).tolist()
    assert reward(ASKED, ANSWERS) == pytest.approx(expected, abs=1e-4)
    rows = [
        [id for part in answered_ids(tokenizer, [{"role": "user", "content": a}], b, "chat") for id in part]
        for a, b in ((ASKED[0], ANSWERS[0]), (ASKED[2], ANSWERS[2]))
    ]
    assert reward.score_ids(rows) == pytest.approx([expected[0], expected[2]], abs=1e-4)


def test_without_the_end_token_the_score_is_another(tmp_path: pathlib.Path, tokenizer: Any) -> None:
    saved(tmp_path / "r", tokenizer)
    reward = load_reward(tmp_path / "r", device="cpu")
    prompt, answer = answered_ids(tokenizer, [{"role": "user", "content": "a"}], "b", "chat")
    assert answer[-1] == tokenizer.eos_id
    with_end, without = reward.score_ids([[*prompt, *answer], [*prompt, *answer[:-1]]])
    assert abs(with_end - without) > 1e-3
    assert reward.score(["a"], ["b"]) == pytest.approx([with_end], abs=1e-5)


def test_long_rows_lose_their_beginning_and_are_counted(tmp_path: pathlib.Path, tokenizer: Any) -> None:
    saved(tmp_path / "r", tokenizer, dataclasses.replace(FACTS, context_tokens=8))
    reward = load_reward(tmp_path / "r", device="cpu")
    with pytest.warns(UserWarning, match="cut off"):
        reward(ASKED, ANSWERS)
    assert reward.cut == 3
    prompt, answer = answered_ids(tokenizer, [{"role": "user", "content": "x" * 40}], "no", "chat")
    ids = [*prompt, *answer]
    assert reward.score(["x" * 40], ["no"]) == pytest.approx(reward.score_ids([ids[-8:]]), abs=1e-6)


def test_long_rows_may_be_refused(tmp_path: pathlib.Path, tokenizer: Any) -> None:
    saved(tmp_path / "r", tokenizer, dataclasses.replace(FACTS, context_tokens=8, long_rows="refuse"))
    with pytest.raises(DataError, match="longer than the rows"):
        load_reward(tmp_path / "r", device="cpu")(ASKED, ANSWERS)


def adapter(folder: pathlib.Path, base: pathlib.Path, *, seed: int = 0, labels: tuple[str, ...] = TWO) -> Any:
    """A reward adapter on the base, and the network with it."""
    torch.manual_seed(seed)
    network = with_scores(load_model(base), labels)
    update = LoRAConfig(rank=2, targets=ALL_LINEAR, exclude=("score",))
    attach(network, "own", ExtendedLoRAConfig(update=update, copies=TrainedCopyConfig(modules=("score",))))
    with torch.no_grad():
        for parameter in adapter_parameters(network, "own").values():
            parameter += 0.3 * torch.randn_like(parameter)
    with new_folder(folder) as writer:
        write_adapter(writer, network, "own", base=str(base), metadata={**FACTS.to_json(), **parent_facts(base)})
    return network


def test_an_adapter_scores_on_a_base_that_the_policy_uses(
    base: pathlib.Path, tmp_path: pathlib.Path, tokenizer: Any
) -> None:
    network = adapter(tmp_path / "r", base)
    policy = load(base, device="cpu")
    attach(policy.network, "policy", LoRAConfig(rank=2, targets=("q_proj",)))
    with torch.no_grad():
        for parameter in adapter_parameters(policy.network, "policy").values():
            parameter += 0.3 * torch.randn_like(parameter)
    policy.network.train()
    before = policy.generate(["the cat"], max_new_tokens=6)[0].token_ids
    reward = load_reward(tmp_path / "r", on=policy)
    assert reward.scorers[0].network is policy.network
    assert adapters_of(policy.network).routing.active == "policy"
    assert policy.network.training
    trained = {name for name, p in policy.network.named_parameters() if p.requires_grad}
    assert trained == adapter_parameters(policy.network, "policy").keys() & trained
    assert trained
    torch.testing.assert_close(reward.scores(ASKED, ANSWERS), by_hand(network, tokenizer), rtol=0, atol=1e-5)
    assert (adapters_of(policy.network).routing.active, policy.network.training) == ("policy", True)
    assert policy.generate(["the cat"], max_new_tokens=6)[0].token_ids == before
    alone = load_reward(tmp_path / "r", device="cpu")
    assert alone(ASKED, ANSWERS) == pytest.approx(reward(ASKED, ANSWERS), abs=1e-4)
    assert reward_of(load(tmp_path / "r", device="cpu"))(ASKED, ANSWERS) == pytest.approx(alone(ASKED, ANSWERS))


def test_a_merged_adapter_scores_alike(base: pathlib.Path, tmp_path: pathlib.Path) -> None:
    adapter(tmp_path / "r", base)
    model = load(tmp_path / "r", device="cpu")
    save(model, tmp_path / "whole", merge=True)
    merge(MergeConfig(adapters=(tmp_path / "r",), output=tmp_path / "merged", device="cpu"))
    expected = load_reward(tmp_path / "r", device="cpu")(ASKED, ANSWERS)
    for folder in ("whole", "merged"):
        assert load_reward(tmp_path / folder, device="cpu")(ASKED, ANSWERS) == pytest.approx(expected, abs=1e-4)


def test_a_vocabulary_does_not_grow_under_scores(tokenizer: Any) -> None:
    network = with_scores(small.network("llama", tokenizer.vocabulary_size))
    with pytest.raises(Unsupported, match="keeps the vocabulary"):
        grown(network, {tokenizer.vocabulary_size: [1]})


def test_a_base_without_adapters_answers_as_before(base: pathlib.Path, tmp_path: pathlib.Path) -> None:
    adapter(tmp_path / "r", base)
    policy = load(base, device="cpu")
    ids = torch.arange(12).view(2, 6)
    before = policy.logits(ids)
    reward = load_reward(tmp_path / "r", on=policy, name="judge")
    reward(ASKED, ANSWERS)
    assert torch.equal(policy.logits(ids), before)
    activate(policy.network, "judge")
    assert not torch.equal(policy.logits(ids), before)


def test_another_base_is_refused(base: pathlib.Path, tmp_path: pathlib.Path, tokenizer: Any) -> None:
    adapter(tmp_path / "r", base)
    other: Any = small.network("llama", tokenizer.vocabulary_size).float()
    with torch.no_grad():
        other.embedding.weight += 0.1
    save_folder(tmp_path / "other", other, tokenizer=tokenizer)
    policy = load(tmp_path / "other", device="cpu")
    with pytest.raises(CheckpointError, match="other weights"):
        load_reward(tmp_path / "r", on=policy)
    load_reward(tmp_path / "r", on=policy, any_base=True)


def test_an_ensemble_is_a_mean_or_less(tmp_path: pathlib.Path, tokenizer: Any) -> None:
    for number in range(3):
        saved(tmp_path / f"r{number}", tokenizer, seed=number)
    (tmp_path / "r0" / ENSEMBLE).write_text(json.dumps({"members": ["r0", "r1", "r2"]}))
    singles = torch.tensor([load_reward(tmp_path / f"r{n}", device="cpu")(ASKED, ANSWERS) for n in (1, 2)])
    reward = load_reward(tmp_path / "r0", device="cpu")
    each = reward.each(ASKED, ANSWERS)
    torch.testing.assert_close(each[1:].float(), singles, rtol=0, atol=1e-4)
    assert reward(ASKED, ANSWERS) == pytest.approx(each.mean(0).tolist())
    careful = load_reward([tmp_path / f"r{n}" for n in (1, 2)], device="cpu", combination="conservative", deviations=2)
    assert ((each[1] - each[2]).abs() > 0.01).all(), "they disagree"
    expected = each[1:].mean(0) - 2 * (each[1] - each[2]).abs() / 2
    assert careful(ASKED, ANSWERS) == pytest.approx(expected.tolist(), abs=1e-4)


def test_an_ensemble_shares_a_base(base: pathlib.Path, tmp_path: pathlib.Path) -> None:
    for number in range(2):
        adapter(tmp_path / f"r{number}", base, seed=number)
    folders = [tmp_path / f"r{number}" for number in range(2)]
    shared = load_reward(folders, on=load(base, device="cpu"))
    apart = load_reward(folders, device="cpu")
    torch.testing.assert_close(shared.each(ASKED, ANSWERS), apart.each(ASKED, ANSWERS), rtol=0, atol=1e-4)


def test_what_cannot_be_is_refused(base: pathlib.Path, tmp_path: pathlib.Path, tokenizer: Any) -> None:
    saved(tmp_path / "two", tokenizer)
    saved(tmp_path / "other", tokenizer, dataclasses.replace(FACTS, criteria=("kind", "short")))
    with pytest.raises(Unsupported, match="gives no scores"):
        load_reward(base, device="cpu")
    with pytest.raises(ConfigError, match="score different things"):
        load_reward([tmp_path / "two", tmp_path / "other"], device="cpu")
    with pytest.raises(ConfigError, match="below the mean of several"):
        load_reward(tmp_path / "two", device="cpu", combination="conservative")
    reward = load_reward(tmp_path / "two", device="cpu")
    with pytest.raises(DataError, match="one answer to each prompt"):
        reward(["a", "b"], ["c"])
    with pytest.raises(DataError, match="one answer to each prompt"):
        reward("ab", "cd")
    with pytest.raises(DataError, match="nothing to score"):
        reward.score_ids([[1], []])
    with torch.no_grad():
        reward.scorers[0].classify.output.weight.fill_(float("nan"))
    with pytest.raises(NonFiniteError):
        reward(ASKED, ANSWERS)


def test_scores_of_models_that_others_trained_are_taken_as_they_are() -> None:
    facts = RewardFacts.of({}, ("LABEL_0", "LABEL_1"))
    assert (facts.weights, facts.bias, facts.gain) == ((0.5, 0.5), 0.0, 1.0)
    assert RewardFacts.of(FACTS.to_json(), TWO) == FACTS
    for wrong in ({"gain": "much"}, {"weights": [1.0]}, {"bias": float("nan")}, {"prompt_format": "odd"}):
        with pytest.raises(CheckpointError, match="how its scores are meant"):
            RewardFacts.of(FACTS.to_json() | {"reward": wrong}, TWO)
    with pytest.raises(ConfigError, match="one weight"):
        RewardFacts(criteria=TWO, weights=(1.0,))


def test_texts_are_scored_as_they_stand(tmp_path: pathlib.Path, tokenizer: Any) -> None:
    """``regress`` of a reward model, as of any model that estimates: the rows of its tokenizer."""
    network = saved(tmp_path / "r", tokenizer, RewardFacts(criteria=("score",), weights=(1.0,)))
    model = load(tmp_path / "r", device="cpu")
    assert (model.purpose, model.capabilities) == ("regression", {"regress"})
    rows = [tokenizer.encode(text) for text in small.TEXTS]
    expected = [network.eval().classify(network(torch.tensor([row])).hidden, None).item() for row in rows]
    assert model.regress(small.TEXTS) == pytest.approx(expected, abs=1e-5)
