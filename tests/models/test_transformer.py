"""The Transformer beyond the contract: the paper's equations in both orders, attention to the source, a toy task."""

import functools
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trivium.data.batches import Seq2SeqBatch
from trivium.errors import Unsupported
from trivium.generation.search.beam import beam_search
from trivium.generation.search.hypothesis import completed
from trivium.generation.settings import GenerationSettings, Search
from trivium.lm.local import LocalModel
from trivium.models.transformer import Transformer, TransformerConfig
from trivium.nn.encoder_decoder_block import EncoderDecoderBlock
from trivium.objectives.seq2seq import seq2seq
from trivium.training.learners.supervised import SupervisedConfig, SupervisedLearner
from trivium.training.optimisers import OptimiserConfig
from trivium.training.schedules import ScheduleConfig, noam_peak

SHAPE = {"vocabulary_size": 11, "width": 8, "layers": 2, "heads": 2, "inner_width": 12}


def build(**changes: object) -> Transformer:
    model = Transformer(TransformerConfig(**{**SHAPE, **changes})).double().eval()
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model


def attention(linears: tuple[Tensor, ...], x: Tensor, source: Tensor, causal: bool) -> Tensor:
    """softmax(q k^T / sqrt(K)) v, head by head, of one text (equation 1 and section 3.2.2)."""
    weight, bias, out, out_bias = linears
    (wq, wk, wv), (bq, bk, bv) = weight.chunk(3), bias.chunk(3)
    q, k, v = x @ wq.T + bq, source @ wk.T + bk, source @ wv.T + bv
    heads = []
    for head in range(2):
        part = slice(4 * head, 4 * head + 4)
        scores = q[:, part] @ k[:, part].T / math.sqrt(4)
        if causal:
            scores = scores.masked_fill(torch.ones_like(scores, dtype=torch.bool).triu(1), -math.inf)
        heads.append(torch.softmax(scores, -1) @ v[:, part])
    return torch.cat(heads, -1) @ out.T + out_bias


def step(block: EncoderDecoderBlock, x: Tensor, source: Tensor | None, first: bool) -> Tensor:
    """One block of one text, from the paper's equations."""
    own, cross = block.attention, block.cross_attention

    def feedforward(y: Tensor) -> Tensor:
        return block.feedforward.down(F.relu(block.feedforward.up(y)))

    def to_itself(y: Tensor) -> Tensor:
        linears = (own.qkv.weight, own.qkv.bias, own.output.weight, own.output.bias)
        return attention(linears, y, y, causal=cross is not None)

    def to_source(y: Tensor) -> Tensor:
        weight = torch.cat([cross.query.weight, cross.key_value.weight])
        bias = torch.cat([cross.query.bias, cross.key_value.bias])
        return attention((weight, bias, cross.output.weight, cross.output.bias), y, source, causal=False)

    sublayers = [(to_itself, block.attention_norm), (feedforward, block.feedforward_norm)]
    if cross is not None:
        sublayers.insert(1, (to_source, block.cross_attention_norm))
    for sublayer, norm in sublayers:
        x = x + sublayer(norm(x)) if first else norm(x + sublayer(x))
    return x


@pytest.mark.parametrize("first", [False, True])
def test_equations(first: bool) -> None:
    model = build(norm_first=first, positions="interleaved")
    source, target = torch.randint(11, (1, 5)), torch.randint(11, (1, 4))
    output = model(target, state=model.encode(source))

    def begin(tokens: Tensor) -> Tensor:
        places = [
            [f(m / 10000 ** (i / 8)) for i in (0, 2, 4, 6) for f in (math.sin, math.cos)] for m in range(len(tokens))
        ]
        return model.embedding.weight[tokens] * math.sqrt(8) + torch.tensor(places, dtype=torch.float64)

    x, y = begin(source[0]), begin(target[0])
    for block in model.blocks[:2]:
        x = step(block, x, None, first)
    x = model.encoder_norm(x)
    for block in model.blocks[2:]:
        y = step(block, y, x, first)
    torch.testing.assert_close(output.hidden[0], model.decoder_norm(y), rtol=0, atol=1e-12)
    logits = model.decoder_norm(y) @ model.embedding.weight.T + model.head.bias
    torch.testing.assert_close(model.head.logits(output.hidden)[0], logits, rtol=0, atol=1e-12)
    assert isinstance(model.encoder_norm, nn.LayerNorm if first else nn.Identity)


def test_sharing() -> None:
    """One matrix, two, or three; each with what it counts."""
    weights = {}
    for sharing in ("all", "target", "none"):
        model = build(sharing=sharing)
        weights[sharing] = sum(p.numel() for p in model.parameters())
        assert (model.head.weight is model.embedding.weight) == (sharing != "none")
        assert (model.source_embedding is None) == (sharing == "all")
    assert weights["target"] - weights["all"] == weights["none"] - weights["target"] == 11 * 8
    own = build(sharing="target", source_vocabulary_size=29)
    state = own.encode(torch.tensor([[28, 0, 12]]))
    assert own.head.logits(own(torch.tensor([[10, 3]]), state=state).hidden).shape == (1, 2, 11)


def test_dropout_stands_where_the_paper_puts_it() -> None:
    """Section 5.4: on the sum of embeddings and positions, and on the output of each sub-layer; nowhere else."""
    model = build(dropout=0.5)
    model.train()
    given: list[Tensor] = []
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.register_forward_hook(lambda _, inputs, output: given.append(output))
    target = torch.randint(11, (1, 4))
    model(target, state=model.encode(torch.randint(11, (1, 5))))
    assert len(given) == (1 + 2 * 2) + (1 + 2 * 3)
    assert [module.p for module in model.modules() if isinstance(module, nn.Dropout)] == [0.5] * 5


def test_attention_to_the_source_while_writing() -> None:
    """With a cache, in packed steps and after rows have been taken: what the whole target shows at once."""
    model = build()
    source, lengths, target = torch.randint(11, (3, 6)), torch.tensor([6, 2, 4]), torch.randint(11, (3, 4))
    whole = model(target, state=model.encode(source, lengths), collect=("cross_attention",))
    expected = whole.collected["cross_attention"]
    assert len(expected) == 2
    for weights in expected:
        assert weights.shape == (3, 2, 4, 6)
        torch.testing.assert_close(weights.sum(-1), torch.ones(3, 2, 4, dtype=torch.float64))
        assert not weights[1, :, :, 2:].any()
    state = model.encode(source, lengths, capacity=4)
    packed = torch.cat([target[2, :3], target[0, :1]])[None]
    output = model(packed, state=state, segments=torch.tensor([[2, 2, 2, 0]]), collect=("cross_attention",))
    for mine, weights in zip(output.collected["cross_attention"], expected, strict=True):
        torch.testing.assert_close(mine[0, :, :3], weights[2, :, :3], rtol=0, atol=1e-12)
        torch.testing.assert_close(mine[0, :, 3], weights[0, :, 0], rtol=0, atol=1e-12)
    state = output.state.take(torch.tensor([2, 0]))
    step = torch.stack([target[2, 3:], target[0, 1:2]])
    output = model(step, state=state, collect=("cross_attention",))
    for mine, weights in zip(output.collected["cross_attention"], expected, strict=True):
        torch.testing.assert_close(mine[:, :, 0], torch.stack([weights[2, :, 3], weights[0, :, 1]]), rtol=0, atol=1e-12)
    with pytest.raises(Unsupported, match="whole targets"):
        model(step, state=output.state, collect=("attention",))


def test_beam_search_with_coverage() -> None:
    """The attention that the penalty is made of is that of the whole answer (Wu et al. 2016, equation 14)."""
    model, source = build(), [3, 7, 1, 9, 2, 4]
    rules = Search(coverage_penalty=0.7)
    settings = GenerationSettings(max_new_tokens=5, beams=3, n=3, length_penalty=0.0, search=rules)
    (answers,) = completed(beam_search(model, [source], settings, start_id=0))
    for answer in answers:
        tokens = torch.tensor([[0, *answer.token_ids[:-1]]])
        output = model(tokens, state=model.encode(torch.tensor([source])), collect=("cross_attention",))
        attended = torch.stack(output.collected["cross_attention"]).mean((0, 2)).sum(1)
        score = sum(answer.log_probs) + 0.7 * attended.detach().clamp(max=1.0).log().sum()
        assert answer.score == pytest.approx(float(score), abs=1e-10)


def reversed_batch(rows: int) -> Seq2SeqBatch:
    """Copy backwards and end with 1; 0 begins, and the texts have 2 to 5 tokens."""
    lengths = torch.randint(2, 6, (rows,))
    source = torch.randint(2, 10, (rows, 5))
    places = torch.arange(6)
    targets = torch.gather(F.pad(source, (0, 1)), 1, (lengths[:, None] - 1 - places).clamp(min=0))
    targets = torch.where(places < lengths[:, None], targets, 1)
    tokens = F.pad(targets[:, :-1], (1, 0))
    return Seq2SeqBatch(source, lengths, tokens, targets, places <= lengths[:, None], lengths + 1)


@pytest.mark.parametrize("first", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_learns_to_reverse(first: bool) -> None:
    """Under the learner with half of Noam's rate and label smoothing; greedy decoding then does it."""
    torch.manual_seed(0)
    config = TransformerConfig(
        vocabulary_size=10, width=32, layers=1, heads=4, inner_width=64, dropout=0.0, norm_first=first
    )
    optimiser = OptimiserConfig(learning_rate=0.5 * noam_peak(32, 60), beta2=0.98, epsilon=1e-9, weight_decay=0.0)
    rate = ScheduleConfig(kind="inverse_sqrt", warmup_steps=60)

    model = Transformer(config)
    objective = functools.partial(seq2seq, label_smoothing=0.1)
    learner = SupervisedLearner(model, objective, SupervisedConfig(optimiser=optimiser, schedule=rate), steps=360)
    for _ in range(360):
        metrics = learner.step(reversed_batch(64))
    assert metrics["nll"] < metrics["loss"]
    test = reversed_batch(60)
    total, count = learner.evaluate(test)
    assert total / count < 0.2
    prompts = [row[:n].tolist() for row, n in zip(test.source, test.source_lengths.tolist(), strict=True)]
    local = LocalModel(model, generation={"eos_token_id": 1})
    answers = local.generate(prompts, max_new_tokens=6)
    right = [answer.token_ids == [*prompt[::-1], 1] for answer, prompt in zip(answers, prompts, strict=True)]
    assert sum(right) > 0.9 * 60
