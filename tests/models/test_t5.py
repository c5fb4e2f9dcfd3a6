"""T5 under its heads: rows are read by themselves, every parameter learns, and what is not needed is not there."""

import pytest
import torch
from torch import Tensor

from trivium.errors import ConfigError
from trivium.models.t5 import SIZES, T5, T5Config, weight_map
from trivium.nn.weight_map import export, load_into

LENGTHS = [7, 3, 5]
HEADS = {"classification": ("a", "b", "c"), "regression": ("x",), "tagging": ("O", "B", "I"), "span": (), "none": ()}
every_head = pytest.mark.parametrize("head", HEADS)


def build(head: str, **changes: object) -> T5:
    torch.manual_seed(1)
    fields = {
        "width": 16,
        "layers": 2,
        "decoder_layers": 3,
        "heads": 2,
        "head_width": 6,
        "inner_width": 24,
        "buckets": 8,
    }
    config = T5Config(vocabulary_size=23, **fields, head=head, labels=HEADS[head], **changes)
    model = T5(config).double().eval()
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model


def texts() -> Tensor:
    return torch.randint(23, (3, 7), generator=torch.Generator().manual_seed(3))


def said(model: T5, hidden: Tensor, lengths: Tensor) -> Tensor:
    if model.classify is not None:
        return model.classify(hidden, lengths)
    if model.tag is not None:
        return model.tag.scores(hidden, torch.arange(hidden.shape[1]).expand(hidden.shape[:2]))
    return hidden if model.span is None else model.span.scores(hidden, lengths)


@every_head
def test_a_batch_is_its_rows(head: str) -> None:
    model, lengths = build(head), torch.tensor(LENGTHS)
    together = said(model, model(texts(), lengths=lengths).hidden, lengths)
    for row, n in enumerate(LENGTHS):
        alone = said(model, model(texts()[[row], :n]).hidden, lengths[[row]])[0]
        mine = together[row] if together.dim() == 2 else together[row, :n]
        torch.testing.assert_close(mine, alone, rtol=0, atol=1e-10)


@pytest.mark.parametrize("head", ["tagging", "none"])
def test_an_encoder_reads_packed_texts(head: str) -> None:
    model = build(head)
    packed = torch.cat([texts()[row, :n] for row, n in enumerate(LENGTHS)])[None]
    hidden = model(packed, segments=torch.repeat_interleave(torch.tensor(LENGTHS))[None]).hidden
    alone = torch.cat([model(texts()[[row], :n]).hidden[0] for row, n in enumerate(LENGTHS)])
    torch.testing.assert_close(hidden[0], alone, rtol=0, atol=1e-10)


@every_head
def test_every_parameter_learns(head: str) -> None:
    """The text is read by all that there is: a head without a decoder has none."""
    model = build(head).train()
    lengths = torch.tensor(LENGTHS)
    hidden = model(texts(), lengths=lengths).hidden
    if model.span is not None:
        loss = model.span.nll_sum(hidden, lengths, torch.tensor([0, 1, 2]), torch.tensor([3, 2, 4]))
    else:
        loss = said(model, hidden, lengths).square().sum()
    loss.backward()
    assert not [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert len(model.blocks) == (2 if head in ("tagging", "none") else 5)
    assert any(name.startswith("decoder") for name, _ in model.named_parameters()) == (len(model.blocks) == 5)


@every_head
@pytest.mark.parametrize("multilingual", [False, True])
def test_weights_and_config_round_trip(head: str, multilingual: bool) -> None:
    model = build(head, multilingual=multilingual, tied=not multilingual, classifier_dropout=0.3)
    config = T5Config.from_hf(model.config.to_hf())
    assert config == model.config
    stored = dict(export(model.state_dict(), weight_map(config)))
    other = T5(config).double()
    load_into(other, weight_map(config), stored, stored.__getitem__)
    assert all(torch.equal(tensor, other.state_dict()[name]) for name, tensor in model.state_dict().items())


def test_the_dropout_of_a_head_is_its_own() -> None:
    model = build("classification", dropout=0.0, classifier_dropout=0.5).train()
    hidden = model(texts()).hidden
    assert torch.equal(hidden, model(texts()).hidden)
    assert not torch.allclose(model.classify(hidden), model.classify(hidden))


def test_published_shapes_are_written_and_read() -> None:
    for name, config in SIZES.items():
        assert T5Config.from_hf(config.to_hf()) == config, name


def test_labels_go_with_a_head() -> None:
    with pytest.raises(ConfigError, match="labels"):
        T5Config(labels=("a", "b"))
    with pytest.raises(ConfigError, match="labels"):
        T5Config(head="tagging")
