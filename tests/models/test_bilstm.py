"""The bidirectional LSTM beyond the contract: equal to the kernel of both directions, heads, labels, sizes."""

import pytest
import torch
from torch import nn

from trivium.checkpoints.model_folder import load_model, save_folder
from trivium.data.batches import TaggedBatch
from trivium.errors import ConfigError, Unsupported
from trivium.models.bilstm import SIZES, BiLSTM, BiLSTMConfig
from trivium.nn.classification_head import pool
from trivium.objectives.tagging import tagging

V, LENGTHS = 17, [9, 1, 5]
TOKENS = torch.randint(V, (3, 9), generator=torch.Generator().manual_seed(0))


def build(**fields) -> BiLSTM:
    torch.manual_seed(1)
    model = BiLSTM(BiLSTMConfig(**({"vocabulary_size": V, "embedding_width": 6, "width": 8, "layers": 2} | fields)))
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model.eval()


def kernel_of(model: BiLSTM) -> nn.LSTM:
    """`nn.LSTM` with the same weights."""
    config = model.config
    kernel = nn.LSTM(config.embedding_width, config.width // 2, config.layers, batch_first=True, bidirectional=True)
    for layer, block in enumerate(model.blocks):
        for half, suffix in ((block.rightwards, ""), (block.leftwards, "_reverse")):
            for kind, parameter in half.rnn.named_parameters():
                getattr(kernel, kind.replace("_l0", f"_l{layer}{suffix}")).data.copy_(parameter)
    return kernel


def test_equal_to_the_kernel_of_both_directions() -> None:
    """Whole rows, and rows of any length as the kernel takes them packed; gradients too."""
    model = build()
    kernel, x = kernel_of(model), model.embed(TOKENS).detach()
    torch.testing.assert_close(model(TOKENS).hidden, kernel(x)[0], rtol=0, atol=1e-6)
    packed = nn.utils.rnn.pack_padded_sequence(x, torch.tensor(LENGTHS), batch_first=True, enforce_sorted=False)
    wanted, _ = nn.utils.rnn.pad_packed_sequence(kernel(packed)[0], batch_first=True)
    valid = torch.arange(9) < torch.tensor(LENGTHS)[:, None]
    hidden = model(TOKENS, lengths=torch.tensor(LENGTHS)).hidden
    torch.testing.assert_close(hidden[valid], wanted[valid], rtol=0, atol=1e-6)
    hidden[valid].square().sum().backward()
    wanted.square().sum().backward()
    ours, theirs = model.blocks[1].leftwards.rnn.weight_hh_l0.grad, kernel.weight_hh_l1_reverse.grad
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_every_place_sees_both_sides() -> None:
    model = build(layers=1).double()
    before = model(TOKENS).hidden
    changed = TOKENS.clone()
    changed[:, 4] = (changed[:, 4] + 1) % V
    moved = (model(changed).hidden - before).abs() > 0
    assert moved[:, 4:, :4].any(-1).all()  # to the right of it by the half that reads rightwards
    assert moved[:, :5, 4:].any(-1).all()
    assert not moved[:, :4, :4].any()
    assert not moved[:, 5:, 4:].any()


def test_a_class_is_read_from_the_maximum_over_a_text() -> None:
    model, lengths = build(labels=("no", "maybe", "yes")), torch.tensor(LENGTHS)
    assert model.tag is None
    hidden = model(TOKENS, lengths=lengths).hidden
    logits = model.classify(hidden, lengths)
    assert logits.shape == (3, 3)
    torch.testing.assert_close(logits, model.classify.output(pool(hidden, lengths, "max")))
    alone = model.classify(model(TOKENS[1:2, :1]).hidden)
    torch.testing.assert_close(logits[1:2], alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("crf", [False, True])
def test_learns_tags_that_what_follows_decides(crf: bool) -> None:
    """A word's tag is its neighbour to the right, which a reader from left to right has not seen."""
    tokens = torch.randint(3, (8, 7), generator=torch.Generator().manual_seed(5))
    tags = tokens.roll(-1, 1)
    tags[:, -1] = 0
    lengths, words = torch.full((8,), 7), torch.arange(7).expand(8, 7)
    batch = TaggedBatch(tokens, lengths, words, lengths, tags)
    labels = ("O", "B-x", "I-x")
    model = build(vocabulary_size=3, width=16, layers=1, dropout=0.0, head="tagging", labels=labels, crf=crf).train()
    assert model.classify is None
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.03, weight_decay=0.0)
    for _ in range(150):
        loss = tagging(model, batch)
        optimiser.zero_grad()
        (loss.total / loss.count).backward()
        optimiser.step()
        if loss.total / loss.count < 0.02:
            break
    assert model.eval().tag.decode(model(tokens).hidden, words, lengths) == tags.tolist()


def test_labels_stand_in_the_configuration_as_transformers_writes_them() -> None:
    config = BiLSTMConfig(labels=("no", "yes"))
    written = config.to_hf()
    assert written["id2label"] == {"0": "no", "1": "yes"}
    assert written["label2id"] == {"no": 0, "yes": 1}
    assert "labels" not in written
    assert BiLSTMConfig.from_hf(written) == config


@pytest.mark.parametrize("numbered", [{}, {"0": "no", "2": "yes"}, {"1": "no", "2": "yes"}, ["no", "yes"]])
def test_labels_that_are_not_numbered(numbered: object) -> None:
    with pytest.raises(ConfigError, match="id2label does not number the labels"):
        BiLSTMConfig.from_hf(BiLSTMConfig().to_hf() | {"id2label": numbered})


@pytest.mark.parametrize("labels", [(), ("a", ""), ("a", "b", "a")])
def test_labels_that_cannot_be_told_apart(labels: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="cannot be the labels of a head"):
        BiLSTMConfig(labels=labels)


def test_shapes_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match="both directions"):
        BiLSTMConfig(width=7)
    with pytest.raises(ConfigError, match="joins tags"):
        BiLSTMConfig(crf=True)
    with pytest.raises(ConfigError, match="did you mean layers"):
        BiLSTMConfig.from_hf({"model_type": "trivium-bilstm", "layer": 2})
    with pytest.raises(Unsupported, match="whole texts"):
        build()(TOKENS, segments=torch.zeros_like(TOKENS))


def test_published_sizes() -> None:
    with torch.device("meta"):
        models = {name: BiLSTM(config) for name, config in SIZES.items()}
    encoders = {name: sum(p.numel() for p in model.blocks.parameters()) for name, model in models.items()}
    # 4 gates of h (h + e) weights and the kernel's two biases, twice
    assert encoders == {"huang": 8 * 300 * (300 + 50 + 2), "lample": 8 * 100 * (100 + 100 + 2)}
    assert all(len(model.config.labels) == 9 and model.tag.crf is not None for model in models.values())


# Numbers and spans ---------------------------------------------------------------------------------------------------


def test_it_may_estimate_a_number_or_find_a_span(tmp_path):
    tokens, lengths = torch.randint(9, (2, 5)), torch.tensor([5, 3])
    shape = {"vocabulary_size": 9, "embedding_width": 4, "width": 6}
    for head, labels in (("regression", ("score",)), ("span", ())):
        network = BiLSTM(BiLSTMConfig(**shape, head=head, labels=labels)).eval()
        assert BiLSTMConfig.from_hf(network.config.to_hf()) == network.config
        save_folder(tmp_path / head, network)
        again = load_model(tmp_path / head)
        hidden = again(tokens, lengths=lengths).hidden
        if head == "regression":
            assert again.classify(hidden, lengths).shape == (2, 1) and again.span is None
        else:
            scores = again.span.scores(hidden, lengths)
            assert scores.shape == (2, 5, 2) and scores[1, 3:].isneginf().all() and again.classify is None
            assert scores.equal(network.span.scores(network(tokens, lengths=lengths).hidden, lengths))
    with pytest.raises(ConfigError, match="labels belong to a head"):
        BiLSTMConfig(**shape, head="span", labels=("a",))
