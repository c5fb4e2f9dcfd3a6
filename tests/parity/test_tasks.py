"""What people ask of a model is what ``transformers`` computes from the same folder: labels, answers, blanks, tags."""

import itertools
import math
import pathlib
from typing import Any

import pytest
import torch
import transformers

import trivium
from trivium import tokenizers
from trivium.tokenizers.special import BERT

TEXTS = [
    "the tiger jumped out of a tree to get a drink because it was thirsty",
    "the drink was cold, and the tree was old",
    "nobody saw the tiger jump",
]
PAIRS = [("the tiger was thirsty", "it was cold"), ("a tree", "the old tree was out of a drink"), ("nobody", "it")]
SHAPE = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "max_position_embeddings": 40,
}


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The files of a WordPiece vocabulary of BERT's form."""
    made = tokenizers.train(TEXTS * 3, kind="wordpiece", vocabulary_size=90, special=BERT)
    folder = tmp_path_factory.mktemp("words")
    made.save(folder)
    return folder


def saved(folder: pathlib.Path, words: pathlib.Path, kind: str, **fields: Any) -> Any:
    """A network of `transformers`, saved with the vocabulary."""
    size = tokenizers.load(words).vocabulary_size
    torch.manual_seed(3)
    network = getattr(transformers, kind)(transformers.BertConfig(vocab_size=size, **SHAPE, **fields)).eval()
    for parameter in network.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    network.save_pretrained(folder)
    for file in words.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return network


def their_tokenizer(folder: pathlib.Path) -> Any:
    return transformers.PreTrainedTokenizerFast.from_pretrained(folder)


@pytest.mark.parametrize("given", [TEXTS, PAIRS], ids=["texts", "pairs"])
def test_labels(words: pathlib.Path, tmp_path: pathlib.Path, given: list) -> None:
    names = {0: "calm", 1: "loud", 2: "wet"}
    theirs = saved(
        tmp_path, words, "BertForSequenceClassification", id2label=names, problem_type="single_label_classification"
    )
    model = trivium.load(tmp_path)
    assert model.capabilities == {"classify"} and model.labels == ("calm", "loud", "wet")
    for text, found in zip(given, model.classify(given), strict=True):
        sides = (text,) if isinstance(text, str) else text
        with torch.inference_mode():
            logits = theirs(
                **their_tokenizer(tmp_path)(*sides, return_token_type_ids=True, return_tensors="pt")
            ).logits[0]
        assert list(found.probabilities.values()) == pytest.approx(logits.softmax(-1).tolist(), abs=1e-5)
        assert found.label == names[int(logits.argmax())]


def test_a_text_that_is_too_long_loses_its_end(words: pathlib.Path, tmp_path: pathlib.Path) -> None:
    theirs = saved(tmp_path, words, "BertForSequenceClassification")
    long = [" ".join(TEXTS * 3), (TEXTS[0] * 3, TEXTS[1])]
    for text, found in zip(long, trivium.load(tmp_path).classify(long), strict=True):
        sides = (text,) if isinstance(text, str) else text
        batch = their_tokenizer(tmp_path)(
            *sides, truncation=True, max_length=40, return_token_type_ids=True, return_tensors="pt"
        )
        assert batch["input_ids"].shape[1] == 40
        with torch.inference_mode():
            wanted = theirs(**batch).logits[0].softmax(-1).tolist()
        assert list(found.probabilities.values()) == pytest.approx(wanted, abs=1e-5)


def test_numbers(words: pathlib.Path, tmp_path: pathlib.Path) -> None:
    theirs = saved(tmp_path, words, "BertForSequenceClassification", num_labels=1)
    model = trivium.load(tmp_path)
    assert (model.purpose, model.capabilities) == ("regression", {"regress"})
    with torch.inference_mode():
        wanted = [
            float(theirs(**their_tokenizer(tmp_path)(*p, return_token_type_ids=True, return_tensors="pt")).logits[0, 0])
            for p in PAIRS
        ]
    assert model.regress(PAIRS) == pytest.approx(wanted, abs=1e-5)


def test_tags(words: pathlib.Path, tmp_path: pathlib.Path) -> None:
    names = {0: "O", 1: "B-animal", 2: "I-animal"}
    theirs = saved(tmp_path, words, "BertForTokenClassification", id2label=names)
    model = trivium.load(tmp_path)
    assert model.capabilities == {"tag"}
    for text, found in zip(TEXTS, model.tag([text.replace(",", " ,").split() for text in TEXTS]), strict=True):
        batch = their_tokenizer(tmp_path)(
            text.replace(",", " ,").split(), is_split_into_words=True, return_tensors="pt"
        )
        with torch.inference_mode():
            best = theirs(**batch).logits[0].argmax(-1)
        places = [batch.word_to_tokens(word).start for word in range(len(found.words))]
        assert found.tags == [names[int(best[place])] for place in places]
    long = model.tag([TEXTS[0].split() * 5])[0]
    assert len(long.tags) == len(long.words) == 5 * len(TEXTS[0].split()), "read in several stretches"


@pytest.mark.parametrize("longest", [1, 3, 30])
def test_answers(words: pathlib.Path, tmp_path: pathlib.Path, longest: int) -> None:
    theirs = saved(tmp_path, words, "BertForQuestionAnswering")
    model = trivium.load(tmp_path)
    assert (model.purpose, model.capabilities) == ("answering", {"answer"})
    question = "what was cold"
    found = model.answer(question, TEXTS[1], longest_answer=longest)
    batch = their_tokenizer(tmp_path)(
        question, TEXTS[1], return_offsets_mapping=True, return_token_type_ids=True, return_tensors="pt"
    )
    offsets = batch.pop("offset_mapping")[0].tolist()
    with torch.inference_mode():
        output = theirs(**batch)
    context = [place for place, side in enumerate(batch.sequence_ids()) if side == 1]
    scores = {
        (start, end): float(output.start_logits[0, start] + output.end_logits[0, end])
        for start, end in itertools.product(context, context)
        if start <= end < start + longest
    }
    start, end = max(scores, key=scores.__getitem__)
    assert (found.start, found.end) == (offsets[start][0], offsets[end][1])
    assert found.text == TEXTS[1][found.start : found.end]
    total = math.fsum(math.exp(score) for score in scores.values())
    assert found.probability == pytest.approx(math.exp(scores[start, end]) / total, abs=1e-5)
    none = float(output.start_logits[0, 0] + output.end_logits[0, 0])
    perhaps = model.answer(question, TEXTS[1], longest_answer=longest, no_answer=True)
    assert perhaps.probability == pytest.approx(
        math.exp(max(none, scores[start, end])) / (total + math.exp(none)), abs=1e-5
    )
    assert (perhaps.text == "") == (none > scores[start, end])


@pytest.mark.parametrize("text", ["the [MASK] was cold", "[MASK] saw the [MASK] jump", "the tiger [MASK] [MASK] ."])
def test_blanks(words: pathlib.Path, tmp_path: pathlib.Path, text: str) -> None:
    theirs = saved(tmp_path, words, "BertForMaskedLM")
    model = trivium.load(tmp_path)
    tokenizer = their_tokenizer(tmp_path)
    assert model.purpose == "filling" and model.capabilities == {"fill", "embed", "score", "logits"}
    found = model.fill(text, top=3)
    batch = tokenizer(text, return_token_type_ids=True, return_tensors="pt")
    with torch.inference_mode():
        shares = theirs(**batch).logits[0].softmax(-1)
    masks = (batch["input_ids"][0] == tokenizer.mask_token_id).nonzero()[:, 0].tolist()
    assert len(found.blanks) == len(masks)
    for blank, place in zip(found.blanks, masks, strict=True):
        wanted = shares[place].topk(3)
        assert [one.probability for one in blank.candidates] == pytest.approx(wanted.values.tolist(), abs=1e-5)
        names = [tokenizer.convert_ids_to_tokens(int(id)).removeprefix("##") for id in wanted.indices]
        assert [one.text for one in blank.candidates] == names
        assert text[blank.start : blank.end] == "[MASK]"
    assert "[MASK]" not in found.text or any("[MASK]" in b.candidates[0].text for b in found.blanks)
