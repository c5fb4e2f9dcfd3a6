"""Soft prompts and P-tuning: what the model reads before a text, on every model whose texts begin with a state."""

import pathlib

import pytest
import torch
from torch import Tensor, nn

from tests.contracts.tracers import LENGTHS, TRACERS, Tracer, texts
from tests.generation.small import PROMPTS, build
from trivium.adapters.adapter_set import adapters_of
from trivium.adapters.answering import Answering
from trivium.adapters.attach import adapter_parameters, attach
from trivium.adapters.beginning import begin, begin_active, prefix_tokens
from trivium.adapters.lora import LoRAConfig
from trivium.adapters.prefix import PrefixConfig
from trivium.adapters.prompt_encoder import PTuningConfig
from trivium.adapters.routing import route
from trivium.adapters.soft_prompt import SoftPrompt, SoftPromptConfig
from trivium.checkpoints.adapter_folder import load_adapter, save_adapter
from trivium.errors import ConfigError, Unsupported
from trivium.generation.decode import decode
from trivium.generation.engine import Engine
from trivium.generation.prefixes import PrefixCache
from trivium.generation.request import Request, requests
from trivium.generation.settings import GenerationSettings
from trivium.generation.speculation import PromptLookup, speculate

BEGINNING = [tracer for tracer in TRACERS if tracer.row.kind in ("decoder", "recurrent")]
EVERYTHING = {"argnames": "tracer", "ids": lambda tracer: tracer.label.replace(" ", "-")}


def prompt_of(model: nn.Module, name: str) -> SoftPrompt:
    prompt = adapters_of(model).prompts[name]
    assert isinstance(prompt, SoftPrompt)
    return prompt


def joined(model: nn.Module, name: str, tokens: Tensor) -> Tensor:
    """The hidden states of ``tokens [1, T]`` where the prompt's vectors stand before theirs, without any cache."""
    vectors = torch.cat([prompt_of(model, name).vectors()[None], model.embed(tokens)], dim=1)
    return model(embeddings=vectors).hidden[:, prefix_tokens(model, name) :]


@pytest.mark.parametrize(argvalues=BEGINNING, **EVERYTHING)
def test_it_stands_before_the_text(tracer: Tracer) -> None:
    """Ragged rows, two of them with prompts of other lengths, are each the text with vectors before it."""
    model, names = tracer.build(), ["three", None, "two"]
    attach(model, "two", SoftPromptConfig(tokens=2))
    attach(model, "three", SoftPromptConfig(tokens=3, start="random"))
    with route(model, names):
        hidden = model(texts(), lengths=torch.tensor(LENGTHS), state=begin(model, names, 7)).hidden
    for row, (name, length) in enumerate(zip(names, LENGTHS, strict=True)):
        tokens = texts()[row : row + 1, :length]
        alone = model(tokens).hidden if name is None else joined(model, name, tokens)
        torch.testing.assert_close(hidden[row, :length], alone[0], rtol=0, atol=1e-10)


@pytest.mark.parametrize(argvalues=[t for t in BEGINNING if t.label in ("llama", "lstm", "deepseek_v3")], **EVERYTHING)
def test_gradients_reach_it_through_the_state(tracer: Tracer) -> None:
    model = tracer.build()
    attach(model, "mine", SoftPromptConfig(tokens=3))
    learnt = list(adapter_parameters(model, "mine").values())
    through = model(texts()[:, :3], state=begin(model, ["mine"] * 3, 3)).hidden
    before = torch.cat([joined(model, "mine", texts()[row : row + 1, :3]) for row in range(3)])
    for ours, theirs in zip(*(torch.autograd.grad(x.square().sum(), learnt) for x in (through, before)), strict=True):
        assert theirs.abs().max() > 0
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


def test_what_it_starts_from() -> None:
    model = build("llama")
    attach(model, "words", SoftPromptConfig(tokens=5))
    attach(model, "text", SoftPromptConfig(tokens=5, start="text", text_tokens=(7, 3, 9)))
    attach(model, "cut", SoftPromptConfig(tokens=2, start="text", text_tokens=(7, 3, 9)))
    attach(model, "random", SoftPromptConfig(tokens=40, start="random"))
    table = model.embedding.weight
    words = prompt_of(model, "words").embeddings
    assert all((row == table).all(-1).any() for row in words)
    assert torch.equal(prompt_of(model, "text").embeddings, table[[7, 3, 9, 7, 3]])
    assert torch.equal(prompt_of(model, "cut").embeddings, table[[7, 3]])
    drawn = prompt_of(model, "random").embeddings
    assert drawn.abs().max() <= 0.5 and drawn.std() > 0.25
    assert words.dtype == table.dtype
    before = table.clone()
    with torch.no_grad():
        prompt_of(model, "text").embeddings += 1
    assert torch.equal(table, before), "the prompt is no view of the table"


def test_a_text_that_begins_with_its_own_words_is_the_text() -> None:
    """A prompt that has not been trained is the words that it started from."""
    model = build("llama")
    attach(model, "mine", SoftPromptConfig(tokens=3, start="text", text_tokens=(7, 3, 9)))
    hidden = model(texts()[:1], state=begin(model, ["mine"], 7)).hidden
    words = model(torch.cat([torch.tensor([[7, 3, 9]]), texts()[:1]], dim=1)).hidden[:, 3:]
    torch.testing.assert_close(hidden, words, rtol=0, atol=1e-10)


def tuned(kind: str) -> nn.Module:
    """A model with two soft prompts, a LoRA where it has linear layers, and a prefix where it has caches."""
    model = build(kind)
    attach(model, "long", SoftPromptConfig(tokens=4))
    attach(model, "short", SoftPromptConfig(tokens=1, start="random"))
    if kind != "lstm":
        attach(model, "low", LoRAConfig(rank=2, targets="all-linear"))
        attach(model, "before", PrefixConfig(tokens=3))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += 0.5 * torch.randn_like(parameter)
    adapters_of(model).routing.active = None
    return model


def plainly(model: nn.Module, name: str | None, prompt: list[int], count: int) -> list[int]:
    """Greedy ids, the whole text read again for each."""
    ids = list(prompt)
    for _ in range(count):
        with torch.no_grad(), route(model, [name]):
            state = begin(model, [name], len(ids))
            ids.append(int(model.head(model(torch.tensor([ids]), state=state).hidden[:, -1]).argmax()))
    return ids[len(prompt) :]


@pytest.mark.parametrize("kind", ["llama", "gpt2", "lstm"])
def test_answers(kind: str) -> None:
    """Continuous batching in pieces, what was read before, and speculation: each as the plainest loop."""
    model = tuned(kind)
    names = ["long", None, "short", "long"] if kind == "lstm" else ["long", "low", "short", "before"]
    expected = [plainly(model, name, prompt, 8) for name, prompt in zip(names, PROMPTS, strict=True)]
    settings = GenerationSettings(max_new_tokens=8)

    def asked() -> list[Request]:
        pairs = zip(names, PROMPTS, strict=True)
        return [request for name, prompt in pairs for request in requests([prompt], settings, adapter=name)]

    remembered = PrefixCache()
    for _ in range(2):  # the second time from what was read
        engine = Engine(model, slots=3, read_tokens=3, adapting=Answering(model), prefixes=remembered)
        answering = asked()
        engine.submit(answering)
        while not engine.idle:
            engine.step()
        assert [request.token_ids for request in answering] == expected
    assert remembered.reused_tokens > 0 or kind == "lstm", "a recurrence goes on only from where it stopped"
    together = asked()
    for _ in decode(model, together, adapting=Answering(model)):
        pass
    assert [request.token_ids for request in together] == expected
    if kind == "lstm":  # a recurrence cannot take a guess back
        return
    for request, ids in zip(asked(), expected, strict=True):
        answering = Answering(model)
        with answering.routing([request.adapter], None):
            reading = lambda rows, capacity, answering=answering: answering.begin([None] * rows, capacity)  # noqa: E731
            for _ in speculate(model, request, PromptLookup(), reading):
                pass
        assert request.token_ids == ids


def test_other_adapters_do_not_change_it() -> None:
    """It is read by the base, also while another adapter is the active one or rows are routed."""
    model = tuned("llama")
    wanted = begin(model, ["long"], 3)
    adapters_of(model).routing.active = "low"
    with route(model, ["low", "long", "low"]):
        state = begin_active(model, ["low", "long", "low"], 3)
    assert state.lengths.tolist() == [0, 4, 0]
    assert torch.equal(state.layers[1].keys[1, :, :4], wanted.layers[1].keys[0, :, :4])
    assert adapters_of(model).routing.active == "low"
    assert (prefix_tokens(model, "long"), prefix_tokens(model)) == (4, 0)


@pytest.mark.parametrize("config", [PTuningConfig(tokens=3), PTuningConfig(tokens=3, encoder="mlp", hidden_width=5)])
def test_a_prompt_with_an_encoder(config: PTuningConfig, tmp_path: pathlib.Path) -> None:
    """All of it trains; what is saved is what comes out, and is a plain prompt when it is read."""
    model = build("llama")
    attach(model, "mine", config)
    hidden = model(texts()[:1], state=begin(model, ["mine"], 7)).hidden
    torch.testing.assert_close(hidden, joined(model, "mine", texts()[:1]), rtol=0, atol=1e-10)
    hidden.square().sum().backward()
    parameters = adapter_parameters(model, "mine")
    assert {name for name, p in model.named_parameters() if p.requires_grad} == set(parameters)
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in parameters.values())
    save_adapter(tmp_path / "prompt", model, "mine")
    other = build("llama")
    load_adapter(tmp_path / "prompt", other, "yours")
    assert adapters_of(other).configs["yours"] == SoftPromptConfig(tokens=3)
    assert torch.equal(prompt_of(other, "yours").embeddings, prompt_of(model, "mine").vectors())
    assert torch.equal(other(texts()[:1], state=begin(other, ["yours"], 7)).hidden, hidden)


def test_the_shape_of_an_encoder() -> None:
    """Liu et al. 2021, equation 4, as wide as the embeddings: 24 of them."""
    model = build("llama")
    attach(model, "mine", PTuningConfig(tokens=3, layers=1))
    shapes = {name.split("mine.")[1]: tuple(p.shape) for name, p in adapter_parameters(model, "mine").items()}
    assert shapes["embeddings"] == (3, 24)
    assert shapes["encoder.lstm.weight_ih_l0_reverse"] == (96, 24)
    assert (shapes["encoder.mlp.0.weight"], shapes["encoder.mlp.2.weight"]) == ((48, 48), (24, 48))


def test_what_cannot_be() -> None:
    for wrong in (
        lambda: SoftPromptConfig(tokens=0),
        lambda: SoftPromptConfig(start="text"),
        lambda: SoftPromptConfig(text_tokens=(1,)),
        lambda: SoftPromptConfig(start="text", text_tokens=(-1,)),
        lambda: PTuningConfig(tokens=0),
        lambda: PTuningConfig(layers=0),
        lambda: PTuningConfig(dropout=1.0),
        lambda: PTuningConfig(encoder="mlp", layers=3),
        lambda: PTuningConfig(layers=1, dropout=0.1),
    ):
        with pytest.raises(ConfigError):
            wrong()
    model = build("gpt2")
    with pytest.raises(ConfigError, match=r"ids of the vocabulary(.|\n)*99(.|\n)*below 41"):
        attach(model, "mine", SoftPromptConfig(start="text", text_tokens=(99,)))
    with pytest.raises(ConfigError, match=r"fills the model's context(.|\n)*32 positions of 32"):
        attach(model, "mine", SoftPromptConfig(tokens=32))
    with pytest.raises(ConfigError, match="fills the model's context"):
        attach(model, "mine", PTuningConfig(tokens=40))
    for label in ("roberta", "t5 1.1", "bilstm", "seq2seq gru", "text_cnn"):
        other = next(tracer for tracer in TRACERS if tracer.label == label).build()
        for config in (SoftPromptConfig(tokens=2), PTuningConfig(tokens=2), PrefixConfig(tokens=2)):
            with pytest.raises(Unsupported, match=r"enters through the state(.|\n)*LoRA"):
                attach(other, "mine", config)
        assert not any(name.startswith("adapters") for name in other.state_dict())
