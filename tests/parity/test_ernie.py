"""Our ERNIE is ``transformers``' ERNIE, with task embeddings and without: logits, losses and gradients, both ways."""

import pathlib

import pytest
import torch

from tests.parity.encoder_heads import (
    HEADS,
    LONGEST,
    ROWS,
    Family,
    batch,
    check_logits_loss_and_gradients,
    check_round_trip,
)
from trivium.errors import Unsupported
from trivium.models.ernie import SIZES, Ernie, ErnieConfig

ERNIE = Family("Ernie", "ernie")
TASKS = {"use_task_id": True, "task_type_vocab_size": 5}


@pytest.mark.parametrize("head", HEADS)
def test_logits_loss_and_gradients(head: str) -> None:
    tasks = torch.tensor([0, 4, 2])[:, None].expand(ROWS, LONGEST)
    more = {"task_types": ("task_type_ids", tasks)}
    check_logits_loss_and_gradients(*ERNIE.pair(head, **TASKS), head, more)


def test_without_task_embeddings() -> None:
    theirs, ours = ERNIE.pair("language", hidden_act="relu")
    check_logits_loss_and_gradients(theirs, ours, "language")
    with pytest.raises(Unsupported, match="no task embeddings"):
        ours(batch()["tokens"], task_types=torch.zeros(1, 1, dtype=torch.long))


def test_tasks_of_whole_batches() -> None:
    """The first where none is given; one number stands for all tokens."""
    theirs, ours = ERNIE.pair("language", **TASKS)
    tokens = batch()["tokens"]
    for task in (None, 3):
        ids = None if task is None else torch.full_like(tokens, task)
        given = None if task is None else torch.tensor([[task]])
        wanted = theirs(input_ids=tokens, task_type_ids=ids).logits
        logits = ours.head.logits(ours(tokens, task_types=given, lengths=torch.tensor([17, 17, 17])).hidden)
        assert (logits - wanted).abs().max() / wanted.abs().max() < 1e-5
    ragged = torch.tensor([17, 2, 4])
    one, all_of_them = (
        ours(tokens, lengths=ragged, task_types=given).hidden
        for given in (torch.tensor([[3]]), torch.full_like(tokens, 3))
    )
    assert torch.equal(one, all_of_them)


@pytest.mark.parametrize("head", HEADS)
def test_folders_open_in_both(head: str, tmp_path: pathlib.Path) -> None:
    check_round_trip(*ERNIE.pair(head, **TASKS), tmp_path)


def test_folders_without_task_embeddings_open_in_both(tmp_path: pathlib.Path) -> None:
    check_round_trip(*ERNIE.pair("language"), tmp_path)


def test_published_sizes() -> None:
    assert {config.task_types > 0 for name, config in SIZES.items() if "3.0" in name} == {True}
    with torch.device("meta"):
        base = Ernie(SIZES["ernie-1.0-base"])
    embeddings = (18000 + 513 + 2) * 768 + 2 * 768
    blocks = 12 * (12 * 768 * 768 + 13 * 768)
    head = 768 * 768 + 3 * 768 + 18000
    assert sum(p.numel() for p in base.parameters()) == embeddings + blocks + head


def test_what_cannot_be_computed_is_refused() -> None:
    with pytest.raises(Unsupported, match="ErnieForNextSentencePrediction"):
        ErnieConfig.from_hf({"architectures": ["ErnieForNextSentencePrediction"]})
    with pytest.raises(Unsupported, match="add_cross_attention"):
        ErnieConfig.from_hf({"add_cross_attention": True})
