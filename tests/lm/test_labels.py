"""`LocalModel.classify` and `.tag`, and what a model is for."""

import pathlib

import pytest
import torch

from tests.recipes.labelling import (
    LABELS,
    TAGS,
    TEXTS,
    tokenizer_of,
    write_classifier,
    write_language_model,
    write_tagger,
    write_translator,
)
from trivium.errors import CheckpointError, DataError, Unsupported
from trivium.lm.load import load, save
from trivium.lm.local import LocalModel
from trivium.lm.purpose import purpose, purpose_of_folder
from trivium.models.bilstm import BiLSTM, BiLSTMConfig
from trivium.models.text_cnn import TextCNN, TextCNNConfig


@pytest.mark.parametrize("method", ["head", "discriminative", "generative"])
def test_a_label_and_the_probability_of_each(tmp_path: pathlib.Path, method):
    model = load(write_classifier(tmp_path / "model", method))
    assert "classify" in model.capabilities and model.purpose == "classification" and model.labels == LABELS
    assert ("generate" in model.capabilities) == (method != "head")
    found = model.classify(TEXTS)
    for one in found:
        assert tuple(one.probabilities) == LABELS
        assert sum(one.probabilities.values()) == pytest.approx(1)
        assert one.probability == one.probabilities[one.label] == max(one.probabilities.values())
    assert len({one.probability for one in found}) == len(TEXTS)
    for text, one in zip(TEXTS, found, strict=True):
        assert model.classify([text])[0].probabilities == pytest.approx(one.probabilities, abs=1e-6)
    assert model.classify([]) == []
    with pytest.raises(DataError, match="several texts"):
        model.classify(TEXTS[0])
    with pytest.raises(Unsupported, match="cannot tag"):
        model.tag(TEXTS)


def test_tags_and_the_places_of_what_they_mark(tmp_path: pathlib.Path):
    model = load(write_tagger(tmp_path / "model"))
    assert model.capabilities == {"tag"} and model.purpose == "tagging" and model.labels == TAGS
    text, words = "Anna lives in Rome.", ["Anna", "lives", "in", "Rome", "."]
    of_text, of_words = model.tag([text, words])
    assert of_text.words == of_words.words == words
    assert of_text.tags == of_words.tags and set(of_text.tags) <= set(TAGS)
    assert [span.label for span in of_text.spans] == [span.label for span in of_words.spans]
    assert all(text[span.start : span.end] == span.text for span in of_text.spans)
    assert all(" ".join(words)[span.start : span.end] == span.text for span in of_words.spans)
    empty = model.tag(["", []])
    assert [(one.words, one.tags, one.spans) for one in empty] == [([], [], [])] * 2
    with pytest.raises(DataError, match="several texts"):
        model.tag(text)


def test_what_a_model_is_for(tmp_path: pathlib.Path):
    tagger, translator = write_tagger(tmp_path / "tagger"), write_translator(tmp_path / "translator")
    assert purpose_of_folder(write_classifier(tmp_path / "classifier", "generative")) == "classification"
    assert purpose_of_folder(tagger) == "tagging"
    assert purpose_of_folder(translator) == "translation"
    assert purpose_of_folder(write_language_model(tmp_path / "lm")) is None
    assert purpose({"model_type": "marian"}, {}) == "translation"
    assert purpose({"model_type": "t5"}, {"objective": "span_corruption"}) == "filling"
    assert purpose({"model_type": "trivium-text-cnn"}, {}) == "classification"


@pytest.mark.parametrize(
    ("config", "described", "wanted"),
    [
        ({"model_type": "bert"}, {}, "filling"),
        ({"model_type": "bert", "architectures": ["BertForPreTraining"]}, {}, "filling"),
        ({"model_type": "bert", "architectures": ["BertModel"]}, {}, "embedding"),
        ({"model_type": "bert"}, {"objective": "embedding"}, "embedding"),
        ({"model_type": "bert", "architectures": ["BertForSequenceClassification"]}, {}, "classification"),
        (
            {"model_type": "bert", "architectures": ["BertForSequenceClassification"], "problem_type": "regression"},
            {},
            "regression",
        ),
        ({"model_type": "roberta", "architectures": ["RobertaForTokenClassification"]}, {}, "tagging"),
        ({"model_type": "roberta", "architectures": ["RobertaForQuestionAnswering"]}, {}, "answering"),
        ({"model_type": "bart", "architectures": ["BartForSequenceClassification"]}, {}, "classification"),
        ({"model_type": "t5"}, {}, "text_to_text"),
        ({"model_type": "t5"}, {"objective": "answering"}, "answering"),
        ({"model_type": "t5"}, {"objective": "summarisation"}, "summarisation"),
        ({"model_type": "bart", "task_specific_params": {"summarization": {}}}, {}, "summarisation"),
        ({"model_type": "t5", "task_specific_params": {"summarization": {}, "translation_en_to_de": {}}}, {}, None),
        ({"model_type": "glm"}, {}, "filling"),
        ({"model_type": "gpt2"}, {}, None),
        ({"model_type": "gpt2"}, {"objective": "classification"}, "classification"),
    ],
)
def test_the_purpose_follows_the_head_and_what_the_folder_says(config, described, wanted):
    several = "translation_en_to_de" in config.get("task_specific_params", {})
    assert purpose(config, described) == ("text_to_text" if several else wanted)


def test_a_network_in_memory_needs_no_folder(tmp_path: pathlib.Path):
    tokenizer = tokenizer_of()
    config = TextCNNConfig(
        vocabulary_size=tokenizer.vocabulary_size, width=4, windows=(2,), filters=(3,), labels=("no", "yes")
    )
    model = LocalModel(TextCNN(config), tokenizer)
    assert {one.label for one in model.classify(TEXTS)} <= {"no", "yes"}
    save(model, tmp_path / "saved")
    assert load(tmp_path / "saved").classify(TEXTS) == model.classify(TEXTS)


def test_networks_of_our_own_with_other_heads():
    tokenizer = tokenizer_of()
    size = tokenizer.vocabulary_size
    shape = {"vocabulary_size": size, "embedding_width": 4, "width": 4, "dropout": 0.0}
    model = LocalModel(BiLSTM(BiLSTMConfig(**shape, head="regression", labels=("score",))), tokenizer)
    assert (model.purpose, model.capabilities) == ("regression", {"regress"})
    row = torch.tensor([[tokenizer.bos_id, *tokenizer.encode(TEXTS[0])]])
    with torch.inference_mode():
        wanted = float(model.network.classify(model.network(row).hidden, None))
    assert model.regress(TEXTS)[0] == pytest.approx(wanted, abs=1e-6)
    with pytest.raises(Unsupported, match="reads one text"):
        model.regress([(TEXTS[0], TEXTS[1])])
    spans = LocalModel(BiLSTM(BiLSTMConfig(**shape, head="span", labels=())), tokenizer)
    assert (spans.purpose, spans.capabilities) == ("answering", {"answer"})
    found = spans.answer("who?", TEXTS[0], longest_answer=6)
    assert found.text and found.text in TEXTS[0] and len(found.text) <= 6


def test_without_a_tokenizer_or_the_facts_there_are_no_labels(tmp_path: pathlib.Path):
    bare = LocalModel(BiLSTM(BiLSTMConfig(vocabulary_size=8, embedding_width=4, width=4)))
    assert bare.capabilities == frozenset()
    with pytest.raises(Unsupported, match="classify needs a tokenizer"):
        bare.classify(TEXTS)
    folder = write_classifier(tmp_path / "model", "discriminative")
    (folder / "manifest.json").unlink()
    (folder / "trivium.json").write_text('{"objective": "classification"}')
    with pytest.raises(CheckpointError, match="which labels"):
        load(folder).classify(TEXTS)
    with pytest.raises(Unsupported, match="cannot classify"):
        load(write_language_model(tmp_path / "lm")).classify(TEXTS)
