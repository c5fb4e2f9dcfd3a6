"""The report at the end of a run: measured on the model, on the text that was held out."""

import pytest
import torch

from trivium import tokenizers
from trivium.data.shards import TokenStore
from trivium.lm.load import save
from trivium.lm.local import LocalModel
from trivium.models.cho import Cho, ChoConfig
from trivium.models.gru import GRU, GRUConfig
from trivium.models.luong import Luong, LuongConfig
from trivium.models.rnn import RNN, RNNConfig
from trivium.recipes.run_report import recurrent_sections, sentence, translated, write_run_report
from trivium.runtime import processes
from trivium.training.run import METRICS, Run

CPU = torch.device("cpu")
TEXTS = ["A quick brown fox jumps over the lazy dog. It sleeps.", "The dog barks at the brown fox, and then it runs."]


@pytest.fixture(scope="module")
def tokenizer() -> tokenizers.Tokenizer:
    return tokenizers.train(TEXTS, kind="byte_bpe", vocabulary_size=300)


@pytest.fixture(scope="module")
def text(tokenizer: tokenizers.Tokenizer) -> TokenStore:
    documents = [[*tokenizer.encode(text), tokenizer.eos_id or 0] for text in TEXTS * 4]
    return TokenStore.of(documents, vocabulary_size=tokenizer.vocabulary_size)


def local(tokenizer: tokenizers.Tokenizer, kind: type, config: type, **shape: int) -> LocalModel:
    return LocalModel(kind(config(vocabulary_size=tokenizer.vocabulary_size, width=8, **shape)), tokenizer)


def test_the_page_of_a_recurrent_run(tokenizer, text, tmp_path):
    run = Run.start(tmp_path / "gated", {"steps": 1})
    run.log(dict.fromkeys(METRICS, 1) | {"validation_loss": 2.0})
    save(local(tokenizer, GRU, GRUConfig, layers=1), run.checkpoints / "best")
    write_run_report(run, CPU, validation=text)
    page = run.report.read_text("utf-8")
    assert "A quick" in page[page.index("What it writes") :]
    titles = ("How it learnt", "How far back it learns", "What its gates do", "What it writes", "What was asked")
    places = [page.index(f"<h2>{title}</h2>") for title in titles]
    assert places == sorted(places)


def test_an_elman_network_has_no_gates_to_show(tokenizer, text):
    sections = recurrent_sections(local(tokenizer, RNN, RNNConfig), text)
    assert [section.title for section in sections] == ["How far back it learns"]


def test_next_to_no_text_gives_no_sections(tokenizer):
    store = TokenStore.of([[1, 2, 3, 4]], vocabulary_size=tokenizer.vocabulary_size)
    assert recurrent_sections(local(tokenizer, RNN, RNNConfig), store) == []


def test_a_short_text_is_followed_as_far_as_it_goes(tokenizer):
    store = TokenStore.of([list(range(20))], vocabulary_size=tokenizer.vocabulary_size)
    assert len(recurrent_sections(local(tokenizer, GRU, GRUConfig), store)) == 2


def test_the_sentence_is_a_whole_one(tokenizer, text):
    model = local(tokenizer, GRU, GRUConfig)
    assert tokenizer.decode(sentence(model, text)) == "A quick brown fox jumps over the lazy dog."


def test_a_heading_or_a_torn_beginning_is_no_sentence(tokenizer):
    told = "and so it ends without a stop\n\n= The title of it all =\n\nThe dog barks at the fox."
    store = TokenStore.of([tokenizer.encode(told)], vocabulary_size=tokenizer.vocabulary_size)
    found = sentence(local(tokenizer, GRU, GRUConfig), store)
    assert tokenizer.decode(found) == "The dog barks at the fox."


def test_without_any_sentence_it_is_a_beginning(tokenizer):
    ids = tokenizer.encode("no stop anywhere " * 20)
    store = TokenStore.of([ids], vocabulary_size=tokenizer.vocabulary_size)
    assert sentence(local(tokenizer, GRU, GRUConfig), store) == ids[:40]


def test_other_processes_write_nothing(tokenizer, tmp_path, monkeypatch):
    run = Run.start(tmp_path / "run", {})
    monkeypatch.setattr(processes, "place", lambda: processes.Place(rank=1, world=2))
    write_run_report(run, CPU)
    assert not run.report.exists()


@pytest.mark.parametrize("looking", [True, False])
def test_translations_with_and_without_attention(tokenizer, looking):
    torch.manual_seed(1)
    shape = {"embedding_width": 4}
    kind, config = (Luong, LuongConfig) if looking else (Cho, ChoConfig)
    model = local(tokenizer, kind, config, **shape)
    (found,) = translated(model, [("A quick fox", "Ein Fuchs")])
    assert (found.source, found.reference) == ("A quick fox", "Ein Fuchs")
    assert looking or found.looks is None
    if found.looks is not None:  # what an untrained network writes may be too long to draw
        assert len(found.looks.weights) == len(found.looks.target)
        assert "".join(found.looks.source).startswith("A quick fox")
