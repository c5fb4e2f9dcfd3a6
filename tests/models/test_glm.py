"""GLM against a plain computation of its equations, and against itself: cached, packed, and who sees whom."""

import copy
import json
import math
import pathlib

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from trivium import models
from trivium.checkpoints.model_folder import load_model, save_folder
from trivium.checkpoints.tensors import TensorFile
from trivium.errors import ConfigError, Unsupported
from trivium.lm.local import LocalModel
from trivium.models.glm import GLM, SIZES, GLMConfig
from trivium.nn.weight_map import export

MASK, SENTENCE, DOCUMENT, START, END, V = 3, 4, 5, 6, 7, 40
CONFIG = GLMConfig(
    vocabulary_size=V, width=16, layers=2, heads=2, context_tokens=20, norm_epsilon=1e-3, start_id=START,
    blank_ids=(MASK, SENTENCE, DOCUMENT),
)  # fmt: skip
PART_A = torch.tensor([[10, 11, MASK, 12, 13, DOCUMENT], [10, SENTENCE, 14, 15, 0, 0]])
LENGTHS = torch.tensor([6, 4])
PART_B = torch.tensor([[START, 20, 21, 22], [START, 23, 24, 25]])


def built(dtype: torch.dtype = torch.float64) -> GLM:
    torch.manual_seed(1)
    model = GLM(CONFIG).to(dtype).eval()
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return model


def plain(model: GLM, tokens: Tensor, positions: Tensor, block_positions: Tensor, first: int) -> Tensor:
    """Logits ``[T, V]`` of one text, part A (``first`` tokens) and part B in one row, under the published names."""
    weights = dict(export(model.state_dict(), models.architecture("glm").weight_map(model.config)))

    def of(name: str) -> Tensor:
        return weights[f"glm.{name}"]

    def norm(x: Tensor, name: str) -> Tensor:
        deviation = x - x.mean(-1, keepdim=True)
        spread = (deviation.square().mean(-1, keepdim=True) + model.config.norm_epsilon).sqrt()
        return deviation / spread * of(f"{name}.weight") + of(f"{name}.bias")

    def linear(x: Tensor, name: str) -> Tensor:
        return x @ of(f"{name}.weight").T + of(f"{name}.bias")

    x = of("word_embeddings.weight")[tokens] + of("transformer.position_embeddings.weight")[positions]
    x = x + of("transformer.block_position_embeddings.weight")[block_positions]
    length, width = x.shape
    place = torch.arange(length)
    visible = (place[None] < first) | (place[None] <= place[:, None])  # section 2.1: A in both directions, B causal
    for i in range(model.config.layers):
        name = f"transformer.layers.{i}"
        q, k, v = linear(norm(x, f"{name}.input_layernorm"), f"{name}.attention.query_key_value").split(width, -1)
        heads = []
        for part in torch.arange(width).chunk(model.config.heads):
            scores = q[:, part] @ k[:, part].T / math.sqrt(len(part))
            heads.append(scores.masked_fill(~visible, -torch.inf).softmax(-1) @ v[:, part])
        x = x + linear(torch.cat(heads, -1), f"{name}.attention.dense")
        inner = linear(norm(x, f"{name}.post_attention_layernorm"), f"{name}.mlp.dense_h_to_4h")
        inner = 0.5 * inner * (1 + torch.erf(inner / math.sqrt(2)))
        x = x + linear(inner, f"{name}.mlp.dense_4h_to_h")
    return norm(x, "transformer.final_layernorm") @ of("word_embeddings.weight").T


def same(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


def test_logits_are_those_of_the_equations() -> None:
    """One blank: the first of each row; its place is found in the ids."""
    model = built()
    logits = model.head.logits(model(PART_B, state=model.encode(PART_A, LENGTHS)).hidden)
    for row, (n, blank) in enumerate(((6, 2), (4, 1))):
        tokens = torch.cat([PART_A[row, :n], PART_B[row]])
        positions = torch.cat([torch.arange(n), torch.full((4,), blank)])
        within = torch.cat([torch.zeros(n, dtype=torch.long), torch.arange(1, 5)])
        wanted = plain(model, tokens, positions, within, n)
        same(logits[row], wanted[n:])
        same(model.head.logits(model.read(PART_A[[row], :n]).hidden)[0], wanted[:n])


def test_several_blanks_and_gradients() -> None:
    model = built()
    given = torch.tensor([[5, 5, 2, 2]]), torch.tensor([[1, 2, 1, 2]])
    hidden = model(PART_B[:1], state=model.encode(PART_A[:1]), positions=given[0], block_positions=given[1]).hidden
    tokens, within = torch.cat([PART_A[0], PART_B[0]]), torch.cat([torch.zeros(6, dtype=torch.long), given[1][0]])
    wanted = plain(model, tokens, torch.cat([torch.arange(6), given[0][0]]), within, 6)[6:]
    same(model.head.logits(hidden)[0], wanted)
    targets, parameters = torch.tensor([20, END, 21, END]), list(model.parameters())
    ours = torch.autograd.grad(model.head.nll_sum(hidden[0], targets), parameters)
    for gradient, other in zip(ours, _by_hand(model, given, targets), strict=True):
        same(gradient, other)


def _by_hand(model: GLM, given: tuple[Tensor, Tensor], targets: Tensor) -> list[Tensor]:
    """Gradients through the plain computation, of leaves that its export is made of."""
    tokens, within = torch.cat([PART_A[0], PART_B[0]]), torch.cat([torch.zeros(6, dtype=torch.long), given[1][0]])
    leaves = dict(model.named_parameters())
    original = model.state_dict
    model.state_dict = lambda: leaves | {"head.weight": leaves["embedding.weight"]}  # with their graph
    try:
        logits = plain(model, tokens, torch.cat([torch.arange(6), given[0][0]]), within, 6)[6:]
    finally:
        model.state_dict = original
    return list(torch.autograd.grad(F.cross_entropy(logits, targets, reduction="sum"), list(leaves.values())))


def test_who_sees_whom() -> None:
    """By gradients: part A sees all of itself and nothing of part B; part B sees part A and no token after itself."""
    model = built()
    a = model.embed(PART_A[:1]).detach().requires_grad_()
    b = model.embed(PART_B[:1]).detach().requires_grad_()
    read = model.read(embeddings=a, collect=("attention",))
    assert bool((torch.autograd.grad(read.hidden[0, 0].sum(), a)[0][0].abs().sum(-1) > 0).all())
    blanks = torch.tensor([2])
    hidden = model(embeddings=b, state=model.encode(embeddings=a, blanks=blanks)).hidden[0]
    for t in range(4):
        to_a, to_b = torch.autograd.grad(hidden[t].square().sum(), (a, b), retain_graph=True)
        assert bool((to_a[0].abs().sum(-1) > 0).all())
        assert (to_b[0].abs().sum(-1) > 0).tolist() == [place <= t for place in range(4)]
    memory = model.encode(embeddings=a, blanks=blanks).memory
    later = model.encode(embeddings=a, blanks=blanks)
    model(embeddings=b, state=later)
    assert all(torch.equal(x, y) for x, y in zip(memory.tensors[1], later.memory.tensors[1], strict=True))
    weights = model(PART_B[:1], state=model.encode(PART_A[:1]), collect=("attention",)).collected["attention"][0]
    assert weights.shape == (1, 2, 4, 10)
    assert not weights[0, :, 1, 8:].any()
    assert read.collected["attention"][0].shape == (1, 2, 6, 6)


def test_where_the_blank_is() -> None:
    model = built()
    assert model.encode(PART_A, LENGTHS).memory.tensors[-1][0].tolist() == [2, 1]
    assert model.encode(PART_A[:, 2:], LENGTHS - 2).memory.tensors[-1][0].tolist() == [0, 2], "behind a text without"
    assert model.encode(PART_A, LENGTHS, blanks=torch.tensor([5, 3])).memory.tensors[-1][0].tolist() == [5, 3]


@pytest.mark.parametrize("beams", [1, 3])
def test_written_answers_are_those_of_whole_passes(beams: int) -> None:
    """The engine's cache, rows of unequal length and beams, against the plain computation of every prefix again."""
    exact = built()
    model = LocalModel(copy.deepcopy(exact).float(), generation={"eos_token_id": END})
    prompts = [row[:n].tolist() for row, n in zip(PART_A, LENGTHS.tolist(), strict=True)]
    answers = model.generate(prompts, max_new_tokens=8, beams=beams)
    for row, answer in enumerate(answers):
        n, blank = int(LENGTHS[row]), (2, 1)[row]
        best = [START]
        for token, log_prob in zip(answer.token_ids, answer.logprobs, strict=True):
            tokens = torch.tensor([*prompts[row], *best])
            positions = torch.cat([torch.arange(n), torch.full((len(best),), blank)])
            within = torch.cat([torch.zeros(n, dtype=torch.long), torch.arange(1, len(best) + 1)])
            logits = plain(exact, tokens, positions, within, n)[-1]
            if beams == 1:
                assert int(logits.argmax()) == token
            assert float(logits.log_softmax(-1)[token]) == pytest.approx(log_prob, abs=1e-4)
            best.append(token)
        assert len(answer.token_ids) == 8 or answer.token_ids[-1] == END


def test_folder_under_the_published_names(tmp_path: pathlib.Path) -> None:
    model = built(torch.float32)
    save_folder(tmp_path, model)
    stated = json.loads((tmp_path / "config.json").read_text())
    assert stated["model_type"] == "glm"
    assert stated["block_position_encoding"] is True
    names = set(TensorFile(tmp_path / "model.safetensors").names)
    assert {"glm.word_embeddings.weight", "glm.transformer.layers.1.mlp.dense_4h_to_h.bias"} < names
    again = load_model(tmp_path)
    assert again.config == CONFIG
    wanted = model(PART_B, state=model.encode(PART_A, LENGTHS)).hidden
    assert torch.equal(again(PART_B, state=again.encode(PART_A, LENGTHS)).hidden, wanted)


PUBLISHED = {  # as in config.json of THUDM/glm-10b
    "architectures": ["GLMModel"], "attention_dropout_prob": 0.1, "attention_scale": 1.0,
    "block_position_encoding": True, "checkpoint_activations": False, "checkpoint_num_layers": 1,
    "embedding_dropout_prob": 0.1, "hidden_size": 4096, "initializer_range": 0.02, "max_sequence_length": 1024,
    "model_type": "glm", "num_attention_heads": 64, "num_layers": 48, "output_dropout_prob": 0.1,
    "output_predict": True, "parallel_output": True, "pool_token": "cls", "relative_encoding": False,
    "spell_func": "lstm", "spell_length": None, "vocab_size": 50304,
}  # fmt: skip
IDS = {"decoder_start_token_id": 50257, "blank_token_ids": [50260, 50263, 50264]}


def test_a_published_configuration() -> None:
    config = GLMConfig.from_hf(PUBLISHED | IDS)
    assert config == GLMConfig(**{**vars(SIZES["glm-10b"]), "start_id": 50257, "blank_ids": (50260, 50263, 50264)})
    written = config.to_hf()
    shared = (written.keys() & PUBLISHED.keys()) - {"architectures"}
    assert {name: written[name] for name in shared} == {name: PUBLISHED[name] for name in shared}
    with pytest.raises(ConfigError, match="decoder_start_token_id"):
        GLMConfig.from_hf(PUBLISHED)


def test_published_sizes() -> None:
    """Each is called by its number of parameters."""
    counts = {}
    for name, config in SIZES.items():
        with torch.device("meta"):
            counts[name] = round(sum(p.numel() for p in GLM(config).parameters()) / 1e6)
    assert counts == {
        "glm-base": 109, "glm-large": 335, "glm-410m": 410, "glm-515m": 515, "glm-2b": 1920, "glm-10b": 9881
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"relative_encoding": True}, "relative_encoding"),
        ({"block_position_encoding": False}, "block_position_encoding"),
        ({"spell_length": 8}, "spell_length"),
        ({"architectures": ["GLMForSequenceClassification"]}, "GLMForConditionalGeneration"),
    ],
)
def test_what_cannot_be_computed_is_refused(change: dict, message: str) -> None:
    with pytest.raises(Unsupported, match=message):
        GLMConfig.from_hf(PUBLISHED | IDS | change)


def test_glm_4_is_told_apart() -> None:
    import transformers

    stated = json.loads(transformers.GlmConfig().to_json_string(use_diff=False))
    with pytest.raises(Unsupported, match="GLM-4 is another network"):
        GLMConfig.from_hf(stated)
    with pytest.raises(ConfigError, match="do not divide"):
        GLMConfig(width=10, heads=4)
