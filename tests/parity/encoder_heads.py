"""What BERT, RoBERTa and ERNIE have to show under each head, against the same network in `transformers`."""

import json
import pathlib
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
import transformers
from torch import Tensor, nn

from trivium.checkpoints.model_folder import load_model, save_folder
from trivium.models import architecture
from trivium.nn.weight_map import export, load_into

ENDINGS = {
    "language": "ForMaskedLM",
    "pretraining": "ForPreTraining",
    "classification": "ForSequenceClassification",
    "regression": "ForSequenceClassification",
    "tagging": "ForTokenClassification",
    "span": "ForQuestionAnswering",
    "none": "Model",
}
HEADS = tuple(ENDINGS)
_LABELS = {
    "classification": {"id2label": {0: "bad", 1: "fair", 2: "good"}, "problem_type": "single_label_classification"},
    "regression": {"num_labels": 1, "problem_type": "regression"},
    "tagging": {"id2label": {0: "O", 1: "B-x", 2: "I-x", 3: "B-y"}},
}
SHAPE = {
    "vocab_size": 61,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "max_position_embeddings": 20,
    "type_vocab_size": 2,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
LENGTHS = torch.tensor([17, 5, 9])
ROWS, LONGEST = 3, 17


@dataclass(frozen=True)
class Family:
    """One family of encoders by the beginning of its class names in `transformers`."""

    name: str
    model_type: str

    def pair(self, head: str, **changes: Any) -> tuple[Any, Any]:
        """Their network with random weights, and ours with the same."""
        torch.manual_seed(1)
        config = getattr(transformers, f"{self.name}Config")(**SHAPE, **_LABELS.get(head, {}), **changes)
        kind = getattr(transformers, self.name + ENDINGS[head])
        theirs = kind(config).eval()
        for parameter in theirs.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
        hf = config.to_dict() | {"architectures": [kind.__name__], "model_type": self.model_type}
        row = architecture(self.model_type)
        ours = row.model_class()(row.config_class().from_hf(hf)).eval()
        stored = theirs.state_dict()
        load_into(ours, row.weight_map(ours.config), stored, stored.__getitem__)
        return theirs, ours


def batch() -> dict[str, Tensor]:
    """Three ragged rows of two joined texts; no piece is one that pads, which `transformers` treats apart."""
    generator = torch.Generator().manual_seed(2)
    return {
        "tokens": torch.randint(3, 61, (ROWS, LONGEST), generator=generator),
        "types": (torch.arange(LONGEST) > 3).long().expand(ROWS, LONGEST),
        "targets": torch.randint(61, (ROWS, LONGEST), generator=generator),
    }


def check_logits_loss_and_gradients(
    theirs: Any, ours: Any, head: str, more: dict[str, tuple[str, Tensor]] | None = None
) -> None:
    """``more`` are further inputs: our name -> their name and value."""
    data = batch()
    # Their span loss looks beyond the end of a row: it is held against ours on whole rows.
    lengths = torch.full((ROWS,), LONGEST) if head == "span" else LENGTHS
    valid = torch.arange(LONGEST) < lengths[:, None]
    inputs = {"input_ids": data["tokens"], "attention_mask": valid.long(), "token_type_ids": data["types"]}
    extra = {name: value for name, (_, value) in (more or {}).items()}
    inputs |= dict((more or {}).values())
    hidden = ours(data["tokens"], lengths=lengths, token_types=data["types"], **extra).hidden
    pairs, our_loss, labels = _RUN[head](ours, hidden, lengths, valid, data["targets"])
    answer = theirs(**inputs, **labels)
    for name, mine in pairs.items():
        wanted = getattr(answer, name)
        mine, wanted = (mine[valid], wanted[valid]) if wanted.shape[:2] == valid.shape else (mine, wanted)
        assert (mine - wanted).abs().max() / wanted.abs().max() < 1e-5, name
    their_loss = answer.pooler_output[:, 0].sum() if head == "none" else answer.loss
    torch.testing.assert_close(our_loss, their_loss, rtol=1e-5, atol=1e-5)
    their_loss.backward()
    our_loss.backward()
    check_gradients(theirs, ours)


def check_gradients(theirs: Any, ours: Any) -> None:
    """Those of every parameter, through the weight map."""
    gradients = {name: p.grad for name, p in ours.named_parameters(remove_duplicate=False)}
    mapped = dict(export(gradients, architecture(ours.config.to_hf()["model_type"]).weight_map(ours.config)))
    wanted = {name: parameter.grad for name, parameter in theirs.named_parameters() if parameter.grad is not None}
    assert len(wanted) > 30
    # What moves the scores of all keys, or of all places of an answer, alike has none: 0 but for rounding.
    least = 1e-3 * max(gradient.abs().max() for gradient in wanted.values())
    for name, gradient in wanted.items():
        assert (mapped[name] - gradient).abs().max() <= 1e-4 * max(gradient.abs().max(), least), name


def _tokens(ours: Any, hidden: Tensor, lengths: Tensor, valid: Tensor, targets: Tensor) -> tuple:
    loss = ours.head.nll_sum(hidden[valid], targets[valid]) / valid.sum()
    return {"logits": ours.head.logits(hidden)}, loss, {"labels": targets.masked_fill(~valid, -100)}


def _pretraining(ours: Any, hidden: Tensor, lengths: Tensor, valid: Tensor, targets: Tensor) -> tuple:
    pairs, loss, labels = _tokens(ours, hidden, lengths, valid, targets)
    follows, which = ours.next_sentence(hidden), torch.tensor([0, 1, 1])
    pairs = {"prediction_logits": pairs["logits"], "seq_relationship_logits": follows}
    return pairs, loss + F.cross_entropy(follows, which), labels | {"next_sentence_label": which}


def _classification(ours: Any, hidden: Tensor, lengths: Tensor, valid: Tensor, targets: Tensor) -> tuple:
    logits, labels = ours.classify(hidden, lengths), torch.tensor([2, 0, 1])
    return {"logits": logits}, F.cross_entropy(logits, labels), {"labels": labels}


def _regression(ours: Any, hidden: Tensor, lengths: Tensor, valid: Tensor, targets: Tensor) -> tuple:
    numbers, labels = ours.classify(hidden, lengths), torch.tensor([0.5, -1.0, 3.0])
    return {"logits": numbers}, F.mse_loss(numbers[:, 0], labels), {"labels": labels}


def _tagging(ours: Any, hidden: Tensor, lengths: Tensor, valid: Tensor, targets: Tensor) -> tuple:
    words, counts = torch.tensor([[1, 4, 16], [2, 0, 0], [0, 8, 0]]), torch.tensor([3, 1, 2])
    tags = targets[:, :3] % 4
    labels = torch.full_like(targets, -100)
    for row, count in enumerate(counts.tolist()):
        labels[row, words[row, :count]] = tags[row, :count]
    everywhere = torch.arange(LONGEST).expand(ROWS, LONGEST)
    loss = ours.tag.nll_sum(hidden, words, counts, tags) / counts.sum()
    return {"logits": ours.tag.scores(hidden, everywhere)}, loss, {"labels": labels}


def _span(ours: Any, hidden: Tensor, lengths: Tensor, valid: Tensor, targets: Tensor) -> tuple:
    starts, ends = torch.tensor([0, 3, 16]), torch.tensor([5, 3, 16])
    scores = ours.span.scores(hidden, lengths)
    loss = ours.span.nll_sum(hidden, lengths, starts, ends) / ROWS
    labels = {"start_positions": starts, "end_positions": ends}
    return {"start_logits": scores[..., 0], "end_logits": scores[..., 1]}, loss, labels


def _none(ours: Any, hidden: Tensor, lengths: Tensor, valid: Tensor, targets: Tensor) -> tuple:
    pooled = ours.pooler(hidden[:, 0])
    return {"last_hidden_state": hidden, "pooler_output": pooled}, pooled[:, 0].sum(), {}


_RUN = {
    "language": _tokens,
    "pretraining": _pretraining,
    "classification": _classification,
    "regression": _regression,
    "tagging": _tagging,
    "span": _span,
    "none": _none,
}


def says(model: nn.Module, **inputs: Tensor) -> Tensor:
    """What our network says of the batch, whatever its head."""
    hidden, network = model(batch()["tokens"], **inputs).hidden, model
    if network.head is not None:
        return network.head.logits(hidden)
    if network.classify is not None:
        return network.classify(hidden, None)
    if network.tag is not None:
        return network.tag.scores(hidden, torch.arange(LONGEST).expand(ROWS, LONGEST))
    return hidden if network.span is None else network.span.scores(hidden)


def they_say(answer: Any) -> Tensor:
    """The same of an answer of theirs."""
    if "start_logits" in answer:
        return torch.stack([answer.start_logits, answer.end_logits], dim=-1)
    names = ("logits", "prediction_logits", "last_hidden_state")
    return next(answer[name] for name in names if name in answer)


def check_round_trip(theirs: Any, ours: Any, folder: pathlib.Path) -> None:
    """Our folder opens in `transformers` with nothing missing or left over, and what that saves opens here."""
    save_folder(folder / "ours", ours)
    opened, report = type(theirs).from_pretrained(folder / "ours", output_loading_info=True)
    assert not report["unexpected_keys"]
    # Of an untied network they keep a second bias that is added to nothing.
    assert not {name for name in report["missing_keys"] if name not in ("cls.predictions.bias", "lm_head.bias")}
    wanted = they_say(theirs(input_ids=batch()["tokens"]))
    torch.testing.assert_close(they_say(opened.eval()(input_ids=batch()["tokens"])), wanted, rtol=1e-5, atol=1e-5)
    assert opened.config.id2label == theirs.config.id2label
    opened.save_pretrained(folder / "theirs")
    back = load_model(folder / "theirs")
    assert back.config == ours.config
    assert (says(back) - wanted).abs().max() / wanted.abs().max() < 1e-5
    written = json.loads((folder / "ours" / "config.json").read_text())
    assert written["architectures"] == json.loads((folder / "theirs" / "config.json").read_text())["architectures"]
