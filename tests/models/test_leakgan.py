"""LeakGAN's generator beyond the contract: its equations, its leak, what it writes, and its folder."""

import copy
import pathlib

import pytest
import torch
from torch import Tensor

import trivium
from trivium.checkpoints.model_folder import save_folder
from trivium.data.batches import CausalBatch
from trivium.errors import ConfigError
from trivium.generation.decode import decode
from trivium.generation.engine import Engine
from trivium.generation.request import Request, requests
from trivium.generation.settings import GenerationSettings
from trivium.models.leakgan import LeakGAN, LeakGANConfig
from trivium.models.text_cnn import TextCNN, TextCNNConfig
from trivium.objectives.causal import causal

V, WINDOWS, FILTERS = 13, (1, 2, 4), (4, 3, 5)


def build(**fields) -> LeakGAN:
    torch.manual_seed(3)
    settings = {"width": 6, "embedding_width": 5, "action_width": 4, "horizon": 3, "leak_width": 7} | fields
    config = LeakGANConfig(vocabulary_size=V, windows=WINDOWS, filters=FILTERS, **settings)
    model = LeakGAN(config).double().eval()
    for parameter in model.parameters():  # far from the near-ties of a fresh one
        parameter.data += 0.5 * torch.randn_like(parameter)
    return model


def discriminator(**fields) -> TextCNN:
    torch.manual_seed(4)
    settings = {"width": 7, "windows": WINDOWS, "filters": FILTERS, "highway": True} | fields
    return TextCNN(TextCNNConfig(vocabulary_size=V, **settings)).double().eval()


def same(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


def lstm_step(weights: dict[str, Tensor], prefix: str, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    w, u, b, d = (weights[f"{prefix}.rnn.{kind}_l0"] for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    i, f, g, o = (w @ x + u @ h + b + d).chunk(4)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def unit(x: Tensor) -> Tensor:
    return x / x.norm()


@torch.no_grad()
def test_the_equations_from_token_to_logit() -> None:
    """Step by step, with the matrix O_t [V, K] that the model never makes."""
    model = build()
    weights, tokens = model.state_dict(), torch.randint(V, (2, 9))
    logits = model.head.logits(model(tokens).hidden)
    features, goals = model.plan(tokens)
    output = weights["head.weight"].view(V, 4, 7)  # [V, K, D + 1]
    for b in range(2):
        (h, c), (hm, cm), pursued = torch.zeros(2, 6).double(), torch.zeros(2, 6).double(), []
        for t, token in enumerate(tokens[b]):
            f = model.leak(tokens[b : b + 1, 1:], torch.tensor([t]))[0]
            hm, cm = lstm_step(weights, "manager", f, hm, cm)
            pursued.append(unit(weights["goal.weight"] @ hm + weights["goal.bias"]))
            w = unit(weights["psi.weight"] @ sum(pursued[-3:]))
            h, c = lstm_step(weights, "blocks.0", weights["embedding.weight"][token], h, c)
            o = output @ torch.cat([h, torch.ones(1).double()])
            same(logits[b, t], o @ w)
            same(features[b, t], f)
            same(goals[b, t], pursued[-1])


def test_one_pass_is_step_by_step_is_written_towards_the_plan() -> None:
    model, tokens = build(), torch.randint(V, (3, 10))
    whole, (_, goals) = model(tokens).hidden, model.plan(tokens)
    same(model.write(tokens, goals), whole)
    state, steps = model.new_state(3, 0), []
    for token in tokens.split(1, dim=1):
        output = model(token, state=state)
        steps.append(output.hidden)
        state = output.state
    same(torch.cat(steps, dim=1), whole)


def test_a_goal_guides_for_as_many_steps_as_the_horizon() -> None:
    model, tokens = build(), torch.randint(V, (1, 10))
    _, goals = model.plan(tokens)
    other = goals.clone()
    other[0, 4] = -other[0, 4]
    changed = (model.write(tokens, goals) != model.write(tokens, other)).any(-1)[0]
    assert changed.nonzero()[:, 0].tolist() == [4, 5, 6]


def test_the_leak_follows_a_discriminator() -> None:
    model, judge = build(), discriminator()
    tokens, lengths = torch.randint(V, (4, 8)), torch.tensor([8, 2, 5, 4])
    before = model(tokens).hidden
    model.follow(judge)
    features = model.leak(tokens, lengths)
    same(judge.classify.output(features), judge.classify(judge(tokens, lengths=lengths).hidden, lengths))
    assert not torch.allclose(model(tokens).hidden, before)
    with torch.no_grad():
        for parameter in judge.parameters():
            parameter.zero_()
    assert torch.equal(model.leak(tokens, lengths), features), "a copy, whatever becomes of the discriminator"


@pytest.mark.parametrize("fields", [{"width": 8}, {"windows": (1, 2, 3)}, {"filters": (4, 3, 6)}, {"highway": False}])
def test_another_discriminator(fields: dict) -> None:
    model = build()
    stored = copy.deepcopy(model.state_dict())
    with pytest.raises(ConfigError, match=f"{next(iter(fields))} "):
        model.follow(discriminator(**fields))
    assert all(torch.equal(stored[name], tensor) for name, tensor in model.state_dict().items())


def test_as_a_language_model_all_but_the_leak_learns() -> None:
    model, tokens = build(), torch.randint(V, (3, 9))
    mask = torch.ones(3, 8, dtype=torch.bool)
    causal(model, CausalBatch(tokens[:, :-1], tokens[:, 1:], mask, torch.full((3,), 8))).total.backward()
    gradients = [parameter.grad for parameter in model.parameters()]
    assert all(gradient is not None and bool(gradient.any()) for gradient in gradients)
    assert not any(name.startswith("leak.") for name, _ in model.named_parameters())


def asked() -> list[Request]:
    prompts = [[3, 7, 1, 9], [5], [8, 2, 11, 0, 4, 6, 12], [1, 1]]
    made = []
    for number, prompt in enumerate(prompts):
        made += requests([prompt], GenerationSettings(max_new_tokens=5 + number, temperature=0.8, seed=number))
    return made


def test_the_engine_writes_each_text_as_if_it_were_alone() -> None:
    model, expected = build(), asked()
    for request in expected:
        for _ in decode(model, [request]):
            pass
    for slots, read_tokens in ((2, None), (3, 2)):
        made, engine = asked(), Engine(model, slots=slots, read_tokens=read_tokens)
        engine.submit(made)
        while not engine.idle:
            engine.step()
        for ours, theirs in zip(made, expected, strict=True):
            assert ours.token_ids == theirs.token_ids
            assert ours.log_probs == pytest.approx(theirs.log_probs, abs=1e-10)
    assert len({tuple(request.token_ids) for request in expected}) == 4


def test_its_folder_holds_the_leak(tmp_path: pathlib.Path) -> None:
    model, tokens = build().float(), torch.randint(V, (2, 9))
    model.follow(discriminator().float())
    save_folder(tmp_path / "generator", model)
    loaded = trivium.load(tmp_path / "generator")
    assert loaded.network.config == model.config
    assert torch.equal(loaded.logits(tokens), model.head.logits(model(tokens).hidden))
    packed = trivium.load(tmp_path / "generator", quantize="nf4")  # of its matrices none is in 4 bits
    assert torch.equal(packed.logits(tokens), loaded.logits(tokens))
    assert loaded.generate([[1, 2, 3]], max_new_tokens=6, seed=1, temperature=1.0)[0].token_ids


def test_configurations_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match="one number of filters for each window"):
        LeakGANConfig(windows=(1, 2), filters=(3,))
    with pytest.raises(ConfigError, match="at least one step"):
        LeakGANConfig(horizon=0)
