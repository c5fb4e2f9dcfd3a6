"""The relational memory as a language model, beyond the contract: beginnings, soft tokens, writing, files, sizes."""

import pathlib

import pytest
import torch
import torch.nn.functional as F

from trivium.checkpoints.model_folder import load_model, save_folder
from trivium.data.batches import CausalBatch
from trivium.errors import ConfigError
from trivium.generation.decode import decode
from trivium.generation.engine import Engine
from trivium.generation.request import Request, requests
from trivium.generation.settings import GenerationSettings
from trivium.models.relational_memory import SIZES, RelationalMemory, RelationalMemoryConfig
from trivium.objectives.causal import causal

V = 19
VARIANTS = [
    {},
    {"slots": 3, "layers": 2, "embedding_width": 6},
    {"slots": 2, "heads": 4, "gating": "slot", "tied": True},
    {"tied": True},
]
every_variant = pytest.mark.parametrize("fields", VARIANTS, ids=["relgan", "deep", "slots tied", "tied"])


def build(**fields) -> RelationalMemory:
    torch.manual_seed(1)
    model = RelationalMemory(RelationalMemoryConfig(**({"vocabulary_size": V, "width": 8} | fields))).double().eval()
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return model


def same(a: torch.Tensor, b: torch.Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


@every_variant
def test_token_by_token_is_the_whole_text(fields: dict) -> None:
    model, tokens = build(**fields), torch.randint(V, (3, 7))
    whole = model(tokens).hidden
    assert whole.shape == (3, 7, model.head.weight.shape[1])
    state = model.new_state(3, 0)
    for t in range(7):
        output = model(tokens[:, [t]], state=state)
        same(output.hidden[:, 0], whole[:, t])
        state = output.state
    assert state.lengths.tolist() == [7, 7, 7]


@every_variant
def test_emptied_and_reserved_rows_begin_with_the_identity(fields: dict) -> None:
    """A state has zeros there, and a memory of zeros would be another beginning."""
    model, tokens = build(**fields), torch.randint(V, (3, 4))
    read = model(tokens, state=model.new_state(3, 0)).state
    emptied = read.keep(torch.tensor([False, True, True])).take(torch.tensor([0]))
    same(model(tokens[:1], state=emptied).hidden, model(tokens[:1]).hidden)
    room = read.take(torch.tensor([1])).reserve(2, 9)
    assert not room.layers[0].tensors[0][1].any()
    same(model(tokens[[2, 0]], state=room).hidden[1], model(tokens[:1]).hidden[0])


def test_rows_do_not_see_their_padding_or_each_other() -> None:
    model, tokens, lengths = build(slots=2), torch.randint(V, (3, 6)), [6, 2, 4]
    state = model.new_state(3, 0)
    hidden = model(tokens, lengths=torch.tensor(lengths), state=state).hidden
    for b, n in enumerate(lengths):
        same(hidden[b, :n], model(tokens[[b], :n]).hidden[0])


def test_gradients_reach_soft_tokens_and_are_finite_differences() -> None:
    model, targets = build(slots=2, embedding_width=6), torch.randint(V, (2, 5))
    soft = torch.randn(2, 5, V, dtype=torch.float64).softmax(-1).requires_grad_()

    def nll(mixture: torch.Tensor) -> torch.Tensor:
        return model.head.nll_sum(model(embeddings=mixture @ model.embedding.weight).hidden, targets)

    one_hot = F.one_hot(targets, V).double()
    same(nll(one_hot), model.head.nll_sum(model(targets).hidden, targets))
    (found,) = torch.autograd.grad(nll(soft), soft)
    assert found.abs().sum(-1).min() > 0  # of every token of every text
    for b, t, v in ((0, 0, 3), (1, 2, 0), (1, 4, 18)):
        step = torch.zeros_like(soft)
        step[b, t, v] = 1e-5
        with torch.no_grad():
            wanted = (nll(soft + step) - nll(soft - step)) / 2e-5
        torch.testing.assert_close(found[b, t, v], wanted, rtol=1e-6, atol=1e-8)


def test_truncated_back_propagation_sums_to_one_long_pass() -> None:
    model, tokens = build(slots=2), torch.randint(V, (2, 10))

    def piece(start: int, stop: int) -> CausalBatch:
        mask, lengths = torch.ones(2, stop - start, dtype=torch.bool), torch.full((2,), stop - start)
        continues = torch.full((2,), start > 0)
        return CausalBatch(tokens[:, start:stop], tokens[:, start + 1 : stop + 1], mask, lengths, continues=continues)

    state, total = model.new_state(2, 0), 0.0
    for start in (0, 3, 6):
        loss = causal(model, piece(start, start + 3), state=state)
        total, state = total + loss.total, loss.state.detach()
    same(total, causal(model, piece(0, 9)).total)


def test_the_engine_writes_what_each_prompt_would_be_given_alone() -> None:
    """Requests come and go, twice over, with the same seeds: the same texts, and those of the plain loop."""
    model, prompts = build(slots=2), [[3, 7, 1], [5], [8, 2, 3, 4], [1, 1]]
    settings = GenerationSettings(max_new_tokens=5, temperature=0.9, top_k=7, seed=11)

    def written(slots: int) -> list[Request]:
        made = requests(prompts, settings)
        engine = Engine(model, slots=slots)
        engine.submit(made)
        while not engine.idle:
            engine.step()
        return made

    first, second, wide = (written(slots) for slots in (2, 2, 4))
    alone = requests(prompts, settings)
    for request in alone:
        for _ in decode(model, [request], start_id=None):
            pass
    ids = [request.token_ids for request in alone]
    assert all(len(each) == 5 for each in ids)
    assert len({tuple(each) for each in ids}) > 1
    for made in (first, second, wide):
        assert [request.token_ids for request in made] == ids


@every_variant
def test_a_folder_keeps_it_to_the_last_bit(fields: dict, tmp_path: pathlib.Path) -> None:
    model, tokens = build(**fields), torch.randint(V, (2, 5))
    save_folder(tmp_path / "m", model)
    opened = load_model(tmp_path / "m", dtype=torch.float64)
    assert isinstance(opened, RelationalMemory)
    assert opened.config == model.config
    assert torch.equal(opened.head.logits(opened(tokens).hidden), model.head.logits(model(tokens).hidden))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"width": 9, "heads": 2}, "(?s)heads do not divide the width.*multiple of 2"),
        ({"slots": 0}, "slots, heads and layers must be at least 1"),
        ({"heads": 0}, "slots, heads and layers must be at least 1"),
    ],
)
def test_impossible_shapes(fields: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RelationalMemoryConfig(**fields)


def test_unknown_field() -> None:
    assert RelationalMemoryConfig.from_hf({"model_type": "trivium-relational-memory", "width": 8}).heads == 2
    with pytest.raises(ConfigError, match="did you mean slots"):
        RelationalMemoryConfig.from_hf({"model_type": "trivium-relational-memory", "slot": 2})


def test_the_generator_of_relgan() -> None:
    """One slot of two heads, each 256 wide, over an embedding of 32."""
    config = SIZES["relgan"]
    assert (config.slots, config.heads, config.width // config.heads, config.embedding_width) == (1, 2, 256, 32)
    with torch.device("meta"):
        model = RelationalMemory(config)
    matrices = 5000 * 32 + 32 * 512 + 512 * (3 + 1 + 1 + 2 + 2) * 512 + 512 * 5000
    biases = 512 + 2 * 512 + 2 * 512 + 5000
    assert sum(p.numel() for p in model.parameters()) == matrices + biases + 2 * (3 * 512 + 512 + 512)
