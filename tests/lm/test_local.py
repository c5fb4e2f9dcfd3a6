"""``LocalModel``: text in, text out, and clear refusals."""

import importlib.util
import pathlib
from typing import Any

import pytest
import torch

import trivium
from trivium.errors import ConfigError, DataError, Unsupported
from trivium.generation.settings import Constraints, Search
from trivium.lm.local import LocalModel
from trivium.lm.protocol import LanguageModel

_spec = importlib.util.spec_from_file_location("small", pathlib.Path(__file__).with_name("small.py"))
small = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(small)

SAMPLED = {"temperature": 1.0, "seed": 5}


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return small.byte_tokenizer()


@pytest.fixture(scope="module")
def model(tokenizer: Any) -> LocalModel:
    return LocalModel(small.network("llama", tokenizer.vocabulary_size), tokenizer)


def test_it_is_a_language_model(model: LocalModel) -> None:
    assert isinstance(model, LanguageModel)
    assert model.capabilities == {"logits", "generate", "stream", "chat", "score", "embed"}


def test_generate_takes_a_text_several_texts_or_ids(model: LocalModel) -> None:
    texts = ["the cat", "a dog ran", "mats"]
    together = model.generate(texts, max_new_tokens=6)
    ids = model.generate([model.tokenizer.encode(text) for text in texts], max_new_tokens=6)
    assert [answer.token_ids for answer in together] == [answer.token_ids for answer in ids]
    (bare,) = model.generate(model.tokenizer.encode(texts[0]), max_new_tokens=6)
    assert bare.token_ids == together[0].token_ids
    (alone,) = model.generate(texts[1], max_new_tokens=6)
    assert alone.token_ids == together[1].token_ids
    assert alone.text == model.tokenizer.decode(alone.token_ids)
    assert len(alone.logprobs) == 6
    assert all(value <= 0 for value in alone.logprobs)
    assert (alone.finish_reason, alone.settings.temperature) == ("length", 0.0)


def test_no_prompts_give_no_answers(model: LocalModel) -> None:
    assert model.generate([], max_new_tokens=3) == []


def test_an_empty_prompt_begins_a_document(model: LocalModel) -> None:
    expected = model.generate([[model.tokenizer.bos_id]], max_new_tokens=4)[0]
    assert model.generate("", max_new_tokens=4)[0].token_ids == expected.token_ids


def test_large_batches_are_split_without_changing_answers(model: LocalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = ["the", "a cat", "dogs and", "5 €", "ran"]
    whole = [answer.token_ids for answer in model.generate(prompts, max_new_tokens=5, n=2, **SAMPLED)]
    monkeypatch.setattr("trivium.lm.generating.ROWS_AT_ONCE", 3)
    assert [answer.token_ids for answer in model.generate(prompts, max_new_tokens=5, n=2, **SAMPLED)] == whole


def test_beams_end_at_a_stop_text_and_come_best_first(model: LocalModel) -> None:
    answers = model.generate("the", max_new_tokens=6, beams=4, n=3)
    assert len(answers) == 3
    totals = [sum(answer.logprobs) / len(answer.token_ids) for answer in answers]
    assert totals == sorted(totals, reverse=True)
    passes = []
    handle = model.network.register_forward_pre_hook(lambda *_: passes.append(1))
    whole = model.generate("the", max_new_tokens=12, beams=2)[0]
    grown = len(passes)
    for stop in {whole.text[:1], whole.text[1:3]}:  # at the first new token, and across tokens
        passes.clear()
        (stopped,) = model.generate("the", max_new_tokens=12, beams=2, length_penalty=0.0, stop=stop)
        assert stop not in stopped.text
        assert stopped.finish_reason == "length" or len(passes) < grown, "the search went on past the stop text"
    handle.remove()


@pytest.mark.parametrize("kind", ["word", "wordpiece", "byte_bpe"])
def test_a_search_sees_a_stop_text_at_the_first_new_token(kind: str) -> None:
    """Also where the vocabulary writes the space before a word only after another word."""
    size = {} if kind == "word" else {"vocabulary_size": 290 if kind == "byte_bpe" else 60}
    options = {"minimum_count": 1} if kind == "word" else {}
    vocabulary = trivium.tokenizers.train(small.TEXTS * 2, kind=kind, **size, **options)
    speaking = LocalModel(small.network("llama", vocabulary.vocabulary_size), vocabulary)
    prompt = vocabulary.encode("the cat")
    whole = speaking.generate([prompt], max_new_tokens=6, beams=3, n=3)
    passes = []
    speaking.network.register_forward_pre_hook(lambda *_: passes.append(1))
    # Whatever any beam says first ends it at once.
    stops = {answer.text[:1] for answer in speaking.generate([prompt], max_new_tokens=1, beams=9, n=9) if answer.text}
    assert whole and stops
    passes.clear()
    speaking.generate([prompt], max_new_tokens=6, beams=3, stop=tuple(stops), search=Search(early_stopping=True))
    assert len(passes) <= 2


def test_the_best_of_several_is_one_of_them(model: LocalModel) -> None:
    sampled = model.generate(["the", "a cat"], max_new_tokens=5, n=6, **SAMPLED)
    kept = model.generate(["the", "a cat"], max_new_tokens=5, n=2, search=Search(best_of=6), **SAMPLED)
    assert len(kept) == 4

    def mean(answer: Any) -> float:
        return sum(answer.logprobs) / len(answer.logprobs)

    for some, drawn in ((kept[:2], sampled[:6]), (kept[2:], sampled[6:])):
        wanted = sorted((mean(answer) for answer in drawn), reverse=True)[:2]
        assert [mean(answer) for answer in some] == pytest.approx(wanted)


def test_contrastive_search_and_constraints_are_reached(model: LocalModel) -> None:
    search = Search(contrastive_alpha=0.6)
    (answer,) = model.generate("the", max_new_tokens=5, top_k=4, search=search)
    assert answer.settings.search == search
    banned = model.generate("the", max_new_tokens=5)[0].token_ids[0]
    constraints = Constraints(banned=((banned,),))
    assert banned not in model.generate("the", max_new_tokens=5, constraints=constraints)[0].token_ids


@pytest.mark.parametrize("draft", ["lookup", "model"])
def test_a_draft_changes_no_greedy_answer(model: LocalModel, tokenizer: Any, draft: str) -> None:
    prompts = ["the cat the cat the", "dogs"]
    guessing = LocalModel(small.network("gpt2", tokenizer.vocabulary_size)) if draft == "model" else "lookup"
    expected = [answer.token_ids for answer in model.generate(prompts, max_new_tokens=8)]
    assert [a.token_ids for a in model.generate(prompts, max_new_tokens=8, draft=guessing)] == expected


def test_what_was_read_is_remembered_on_request(model: LocalModel) -> None:
    prompt = "the cat and the dog ran"
    expected = model.generate(prompt, max_new_tokens=4)[0].token_ids
    read = []
    handle = model.network.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0].numel()))
    model.remember()
    assert [model.generate(prompt, max_new_tokens=4)[0].token_ids for _ in range(2)] == [expected] * 2
    half = len(read) // 2
    assert read[half] == 1 < read[0]
    model.remember(0)
    read.clear()
    model.generate(prompt, max_new_tokens=1)
    assert read[0] > 1
    handle.remove()


def test_end_tokens_come_from_the_folder_then_from_the_tokenizer(tokenizer: Any) -> None:
    network = small.network("llama", tokenizer.vocabulary_size)
    free = LocalModel(network, tokenizer, generation={"eos_token_id": [10**6]}).generate("the", max_new_tokens=5)[0]
    ending = LocalModel(network, tokenizer, generation={"eos_token_id": [free.token_ids[2]]})
    answer = ending.generate("the", max_new_tokens=5)[0]
    assert answer.token_ids == free.token_ids[: free.token_ids.index(free.token_ids[2]) + 1]
    assert answer.finish_reason == "stop"
    assert answer.text == tokenizer.decode(answer.token_ids[:-1]), "the end token is no text"
    assert LocalModel(network, tokenizer).generate("the", max_new_tokens=1)[0].settings.eos_ids == (tokenizer.eos_id,)


@pytest.mark.parametrize("settings", [{}, SAMPLED], ids=["greedy", "sampled"])
def test_a_stream_is_the_text_of_generate(model: LocalModel, settings: dict) -> None:
    for prompt in ("the cat", "¥", "x"):
        text = model.generate(prompt, max_new_tokens=25, **settings)[0].text
        assert "".join(model.stream(prompt, max_new_tokens=25, **settings)) == text


def test_a_stop_text_ends_answer_and_stream_alike(model: LocalModel) -> None:
    whole = model.generate("the cat", max_new_tokens=25, **SAMPLED)[0]
    stop = whole.text[5:8]
    answer = model.generate("the cat", max_new_tokens=25, stop=stop, **SAMPLED)[0]
    assert answer.text == whole.text[: whole.text.index(stop)]
    assert answer.finish_reason == "stop"
    assert len(answer.token_ids) < 25
    assert "".join(model.stream("the cat", max_new_tokens=25, stop=[stop, "zzz"], **SAMPLED)) == answer.text


def test_an_unfinished_stop_text_is_part_of_the_answer(model: LocalModel) -> None:
    whole = model.generate("the cat", max_new_tokens=6, **SAMPLED)[0]
    stop = whole.text[-1] + "\x00never"
    answer = model.generate("the cat", max_new_tokens=6, stop=stop, **SAMPLED)[0]
    assert (answer.text, answer.finish_reason) == (whole.text, "length")


def test_text_cannot_smuggle_in_special_tokens(model: LocalModel) -> None:
    written = model.generate("<|end|>", max_new_tokens=2)[0]
    meant = model.generate([[model.tokenizer.eos_id]], max_new_tokens=2)[0]
    assert written.logprobs != meant.logprobs


TURNS = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi "}]


def test_chat_uses_the_tokens_of_our_own_vocabularies(model: LocalModel) -> None:
    text = "<|begin|><|system|>Be brief.<|end|><|user|>Hi <|end|><|assistant|>"
    expected = model.generate(model.tokenizer.encode(text, special=True), max_new_tokens=5)[0]
    assert model.chat(TURNS, max_new_tokens=5).token_ids == expected.token_ids


def test_chat_uses_the_template_of_the_folder(tokenizer: Any) -> None:
    own = tokenizer.with_chat_template("{% for m in messages %}[{{ m.content }}]{% endfor %}")
    model = LocalModel(small.network("llama", tokenizer.vocabulary_size), own)
    expected = model.generate("[Be brief.][Hi ]", max_new_tokens=5)[0]
    assert model.chat(TURNS, max_new_tokens=5).token_ids == expected.token_ids


def test_chat_without_a_template_is_lines() -> None:
    words = small.masked_tokenizer()
    words._backend.post_processor = None
    model = LocalModel(small.network("llama", words.vocabulary_size), words)
    turns = TURNS
    prompt = "System: Be brief.\nUser: Hi\nAssistant:"
    expected = model.generate([prompt], max_new_tokens=5, stop=["\nUser:"])[0]
    assert model.chat(turns, max_new_tokens=5).token_ids == expected.token_ids


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ([], "the conversation is empty"),
        ([{"role": "user"}], "message 0 is not a turn"),
        ([{"role": "user", "content": None}], "message 0 is not a turn"),
        ([{"role": "robot", "content": "x"}], "the roles are system, user and assistant"),
        ([{"role": "assistant", "content": "x"}], "ends with the assistant's turn"),
    ],
)
def test_chats_that_are_none(model: LocalModel, messages: list, message: str) -> None:
    with pytest.raises(DataError, match=message):
        model.chat(messages)


@pytest.mark.parametrize("name", ["llama", "lstm", "bert"])
def test_logits_ignore_padding(tokenizer: Any, name: str) -> None:
    model = LocalModel(small.network(name, tokenizer.vocabulary_size), tokenizer)
    ids = torch.tensor([[5, 6, 7, 8], [9, 3, 0, 0]])
    logits = model.logits(ids, lengths=torch.tensor([4, 2]))
    assert logits.shape == (2, 4, tokenizer.vocabulary_size)
    torch.testing.assert_close(logits[1, :2], model.logits(ids[1:, :2])[0], rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", ["t5", "seq2seq"])
def test_encoder_decoders_read_a_source_and_write_an_answer(tokenizer: Any, name: str) -> None:
    model = LocalModel(small.network(name, tokenizer.vocabulary_size), tokenizer)
    source = torch.tensor([tokenizer.encode("the cat ran")])
    answer = model.generate("the cat ran", max_new_tokens=4)[0]
    start = model.config.start_id
    logits = model.logits(source, torch.tensor([[start, *answer.token_ids[:-1]]]))
    assert logits[0].argmax(-1).tolist() == answer.token_ids
    with pytest.raises(DataError, match="needs decoder_ids"):
        model.logits(source)


@pytest.mark.parametrize("name", ["gpt2", "lstm", "bert", "t5"])
def test_embeddings_have_length_1_and_do_not_depend_on_company(tokenizer: Any, name: str) -> None:
    model = LocalModel(small.network(name, tokenizer.vocabulary_size), tokenizer)
    texts = ["the cat sat", "a", "dogs and cats run"]
    vectors = model.embed(texts)
    assert vectors.shape[0] == 3
    torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(3, dtype=torch.float64), rtol=0, atol=1e-12)
    for text, vector in zip(texts, vectors, strict=True):
        torch.testing.assert_close(model.embed([text])[0], vector, rtol=0, atol=1e-10)
    ids = torch.tensor([tokenizer.encode(texts[0])])
    if name != "t5":
        mean = model.network(ids).hidden[0].mean(0)
        torch.testing.assert_close(vectors[0], mean / mean.norm(), rtol=0, atol=1e-10)


def test_what_embed_cannot_take(model: LocalModel) -> None:
    with pytest.raises(DataError, match="takes several texts"):
        model.embed("one")
    with pytest.raises(DataError, match="an empty text has no vector"):
        model.embed(["a", ""])


def test_missing_capabilities_say_what_there_is(model: LocalModel, tokenizer: Any) -> None:
    with pytest.raises(Unsupported, match=r"this llama model cannot classify[\s\S]*chat, embed, generate"):
        model.classify(["x"])
    calls = [(model.fill, "x"), (model.tag, ["x"]), (model.answer, "q", "c"), (model.complete, "a", "b")]
    for call, *arguments in calls:
        with pytest.raises(Unsupported, match="this llama model cannot"):
            call(*arguments)
    masked = LocalModel(small.network("bert", tokenizer.vocabulary_size), tokenizer)
    with pytest.raises(Unsupported, match=r"bert model cannot generate[\s\S]*embed, logits, score"):
        masked.generate("x", max_new_tokens=1)


def test_a_model_without_a_tokenizer_works_with_ids_only(tokenizer: Any) -> None:
    model = LocalModel(small.network("gpt2", tokenizer.vocabulary_size))
    assert model.capabilities == {"logits", "generate"}
    answer = model.generate([[1, 2, 3]], max_new_tokens=3)[0]
    assert (len(answer.token_ids), answer.text) == (3, "")
    with pytest.raises(Unsupported, match="it takes ids only"):
        model.generate("text", max_new_tokens=1)
    with pytest.raises(Unsupported, match="score needs a tokenizer"):
        model.score([("a", "b")])
    with pytest.raises(Unsupported, match="a stop text needs a tokenizer"):
        model.generate([[1]], max_new_tokens=1, stop="x")


def test_calls_that_cannot_be_meant(model: LocalModel) -> None:
    with pytest.raises(ConfigError, match="the model has no adapters"):
        model.generate("a", max_new_tokens=1, adapter="x")
    with pytest.raises(Unsupported, match="nothing to show before its end"):
        model.stream("a", max_new_tokens=1, beams=4)
    with pytest.raises(Unsupported, match="there is no such draft"):
        model.generate("a", max_new_tokens=1, draft="oracle")
    with pytest.raises(DataError, match="a stream is one answer"):
        model.stream("a", max_new_tokens=1, n=2)
    with pytest.raises(ConfigError, match="did you mean top_p"):
        model.stream("a", max_new_tokens=1, topp=0.5)
