"""Classifying: each method is its formula, exactly and whatever is asked beside, and lacking facts are refused."""

import json
import math
import pathlib
from typing import Any

import pytest
import torch
from torch import nn

from tests.lm.small import TEXTS, network
from trivium import tokenizers
from trivium.errors import CheckpointError, NonFiniteError, TokenizerError
from trivium.lm.classifying import LabelFacts, classify_texts, label_ids, label_token, read_ids, written_ids
from trivium.lm.local import LocalModel
from trivium.models.bilstm import BiLSTM, BiLSTMConfig
from trivium.models.text_cnn import TextCNN, TextCNNConfig
from trivium.tokenizers import SpecialTokens, Tokenizer

LABELS = ("bad", "good", "so-so")
PRIOR = (0.5, 0.3, 0.2)
ASKED = ["the cat", "dogs and cats run to the cat and the dog", "a", "", "naïve <|label:good|> café", "the cat sat on"]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    special = SpecialTokens(roles=(), others=tuple(map(label_token, LABELS)))
    return tokenizers.train(TEXTS, kind="byte_bpe", vocabulary_size=290, special=special)


def facts(method: str, **changes: Any) -> dict[str, Any]:
    told = {"objective": "classification", "method": method, "labels": list(LABELS), "prior": list(PRIOR)}
    return told | {"context_tokens": 40} | changes


def beginning_with(tokenizer: Tokenizer, token: str, folder: pathlib.Path) -> Tokenizer:
    """The same vocabulary, in which a text begins with `token`: what `score` reads before an empty context."""
    tokenizer.save(folder)
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"bos_token": token}))
    return tokenizers.load(folder)


@pytest.mark.parametrize("name", ["lstm", "gpt2", "llama"])
def test_generative_is_bayes_rule_on_what_score_says(name: str, tokenizer: Tokenizer, tmp_path: pathlib.Path):
    model = network(name, tokenizer.vocabulary_size)
    by_label = [LocalModel(model, beginning_with(tokenizer, label_token(label), tmp_path / label)) for label in LABELS]
    for text in ("the cat sat", "a naïve café costs"):
        scores = [each.score([("", text)])[0].logprob for each in by_label]
        joint = [math.log(prior) + score for prior, score in zip(PRIOR, scores, strict=True)]
        expected = torch.softmax(torch.tensor(joint, dtype=torch.float64), dim=0).tolist()
        # Cut after its last token, a text has no end: that is what `score` scores.
        told = facts("generative", context_tokens=len(tokenizer.encode(text)))
        ((best, found),) = classify_texts(model, tokenizer, [text], told)
        assert found == pytest.approx(expected, abs=1e-10) and best == max(range(3), key=found.__getitem__)


@pytest.mark.parametrize("name", ["lstm", "gpt2", "llama"])
@pytest.mark.parametrize("method", ["generative", "discriminative"])
def test_texts_asked_together_get_what_each_gets_from_its_own_logits(name: str, method: str, tokenizer: Tokenizer):
    model = network(name, tokenizer.vocabulary_size)
    local, labels = LocalModel(model, tokenizer), label_ids(tokenizer, LABELS)
    found = classify_texts(model, tokenizer, ASKED, facts(method))
    for text, (best, probabilities) in zip(ASKED, found, strict=True):
        ids = tokenizer.encode(text)
        if method == "discriminative":
            scores = local.logits(torch.tensor([[tokenizer.bos_id, *ids]]))[0, -1, labels]
        else:
            rows = torch.tensor([[label, *ids] for label in labels])
            log_probs = torch.log_softmax(local.logits(rows), dim=-1)
            targets = torch.tensor([*ids, tokenizer.eos_id])
            scores = (
                log_probs[:, torch.arange(len(targets)), targets].sum(1)
                + torch.tensor(PRIOR, dtype=torch.float64).log()
            )
        assert probabilities == pytest.approx(torch.softmax(scores, dim=0).tolist(), abs=1e-10)
        assert best == int(scores.argmax())


def heads(vocabulary_size: int) -> list[nn.Module]:
    small = {"vocabulary_size": vocabulary_size, "labels": LABELS, "width": 12}
    return [
        BiLSTM(BiLSTMConfig(**small, embedding_width=8)).double().eval(),
        TextCNN(TextCNNConfig(**small, windows=(2, 5), filters=(6, 6))).double().eval(),
    ]


def test_heads_give_each_text_what_it_gets_alone(tokenizer: Tokenizer):
    for model in heads(tokenizer.vocabulary_size):
        found = classify_texts(model, tokenizer, ASKED, facts("head", prior=None))
        for text, each in zip(ASKED, found, strict=True):
            rows = torch.tensor([[tokenizer.bos_id, *tokenizer.encode(text)]])
            lengths = torch.tensor([rows.shape[1]])
            logits = model.classify(model(rows, lengths=lengths).hidden, lengths)[0]
            assert each[1] == pytest.approx(torch.softmax(logits, dim=0).tolist(), abs=1e-10)
            assert sum(each[1]) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("method", ["head", "discriminative", "generative"])
def test_a_long_text_is_cut_where_training_cut_it(method: str, tokenizer: Tokenizer):
    model = heads(tokenizer.vocabulary_size)[0] if method == "head" else network("lstm", tokenizer.vocabulary_size)
    text, told = "the cat sat on the mat and the dog ran", facts(method, context_tokens=6)
    seen = tokenizer.decode(tokenizer.encode(text)[: 6 if method == "generative" else 5])
    cut, whole, longer = classify_texts(model, tokenizer, [seen, text, text + " to the cat" * 90], told)
    assert cut[1] == pytest.approx(whole[1], abs=1e-12) and whole[1] == pytest.approx(longer[1], abs=1e-12)
    assert classify_texts(model, tokenizer, [text], facts(method, context_tokens=None))[0][1] != pytest.approx(whole[1])


def test_what_is_read_and_what_is_written(tokenizer: Tokenizer):
    assert read_ids(tokenizer, [7, 8, 9], None) == [tokenizer.bos_id, 7, 8, 9]
    assert read_ids(tokenizer, [7, 8, 9], 3) == [tokenizer.bos_id, 7, 8]
    assert (
        written_ids(tokenizer, [7, 8, 9], None) == written_ids(tokenizer, [7, 8, 9], 4) == [7, 8, 9, tokenizer.eos_id]
    )
    assert written_ids(tokenizer, [7, 8, 9], 3) == [7, 8, 9]
    assert classify_texts(nn.Linear(1, 1), tokenizer, [], facts("head")) == []


def test_facts_are_told_and_read_back():
    known = LabelFacts(method="generative", labels=LABELS, prior=PRIOR, context_tokens=9)
    assert LabelFacts.of(json.loads(json.dumps(known.to_json()))) == known
    assert LabelFacts.of({"objective": "classification", "method": "head", "labels": ("a", "b")}).prior is None


@pytest.mark.parametrize(
    "changes",
    [
        {"objective": "causal"},
        {"method": "magic"},
        {"labels": "bad"},
        {"labels": []},
        {"labels": ["a", 2, "c"]},
        {"prior": None},
        {"prior": [0.5, 0.5]},
        {"prior": [0.9, 0.3, 0.2]},
        {"prior": [2.0, -0.5, -0.5]},
        {"context_tokens": 0},
        {"context_tokens": "all"},
    ],
)
def test_facts_that_are_lacking_or_wrong_are_refused(changes: dict[str, Any], tokenizer: Tokenizer):
    with pytest.raises(CheckpointError, match="does not say how it tells which labels apart"):
        classify_texts(nn.Linear(1, 1), tokenizer, ["a"], facts("generative") | changes)


def test_a_vocabulary_without_the_labels_and_weights_that_are_no_numbers_are_refused(tokenizer: Tokenizer):
    model = network("lstm", tokenizer.vocabulary_size)
    with pytest.raises(TokenizerError, match=r"(?s)lacks a token.*<\|label:strange\|>"):
        classify_texts(model, tokenizer, ["a"], facts("discriminative", labels=["strange", "good", "bad"]))
    for parameter in model.parameters():
        parameter.data.fill_(float("nan"))
    for method in ("discriminative", "generative"):
        with pytest.raises(NonFiniteError, match="nothing can be classified"):
            classify_texts(model, tokenizer, ["a"], facts(method))
