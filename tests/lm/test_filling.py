"""Blanks of a text, filled by models that see both sides and by models that write."""

import importlib.util
import math
import pathlib

import pytest
import torch

from trivium import tokenizers
from trivium.errors import ConfigError, DataError, Unsupported
from trivium.generation.settings import GenerationSettings
from trivium.lm.filling import fill_by_writing, fill_in_turn
from trivium.lm.local import LocalModel
from trivium.lm.protocol import Generation
from trivium.tokenizers import SpecialTokens, Tokenizer

_spec = importlib.util.spec_from_file_location("small", pathlib.Path(__file__).with_name("small.py"))
small = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(small)

SENTINELS = tuple(f"<extra_id_{number}>" for number in range(3))


def vocabulary(*others: str) -> Tokenizer:
    special = SpecialTokens(roles=(), others=others)
    return tokenizers.train(small.TEXTS, kind="byte_bpe", vocabulary_size=280 + len(others), special=special)


def written(tokenizer: Tokenizer, text: str, logprob: float = -0.5) -> Generation:
    ids = [*tokenizer.encode(text, special=True), tokenizer.eos_id]
    settings = GenerationSettings(max_new_tokens=99, eos_ids=(tokenizer.eos_id,))
    return Generation(text=text, token_ids=ids, logprobs=[logprob] * len(ids), finish_reason="stop", settings=settings)


def test_a_masked_model_fills_every_blank_by_itself() -> None:
    tokenizer = small.masked_tokenizer()
    model = LocalModel(small.network("bert", tokenizer.vocabulary_size), tokenizer)
    text = "the [MASK] sat on the  [MASK]"
    found = model.fill(text, top=2)
    assert [text[blank.start : blank.end] for blank in found.blanks] == ["[MASK]"] * 2
    ids = torch.tensor([[2, *tokenizer.encode(text, special=True), 3]])
    shares = model.logits(ids)[0].softmax(-1)
    for blank, place in zip(found.blanks, (ids[0] == 4).nonzero()[:, 0], strict=True):
        assert [one.probability for one in blank.candidates] == pytest.approx(shares[place].topk(2).values.tolist())
        assert [one.text for one in blank.candidates] == [
            tokenizer.token(int(i)) for i in shares[place].topk(2).indices
        ]
    first, second = (blank.candidates[0].text for blank in found.blanks)
    assert found.text == f"the {first} sat on the  {second}"
    assert model.fill("the [MASK]", top=1).text.startswith("the ")
    for text, what in (("the cat", "nothing to fill"), ("the [MASK] " + "cat " * 40, "longer than the model reads")):
        with pytest.raises(DataError, match=what):
            model.fill(text)
    with pytest.raises(ConfigError, match="so many candidates"):
        model.fill("[MASK]", top=0)


def test_spaces_are_those_of_the_text_or_of_the_piece() -> None:
    """A byte-level vocabulary says with each piece whether a space stands before it."""
    tokenizer = vocabulary("<mask>")
    model = LocalModel(small.network("bert", tokenizer.vocabulary_size), tokenizer)
    for piece, filled in ((" cat", "a cat!"), ("t", "at!")):
        (id,) = tokenizer.encode(piece)
        model.network.head.output.bias.data.fill_(-50.0)
        model.network.head.output.bias.data[id] = 50.0
        assert model.fill("a <mask>!", top=1).text == filled
        assert model.fill("<mask>", top=1).text == piece.strip()


def test_what_a_t5_writes_after_its_sentinels() -> None:
    tokenizer = vocabulary(*SENTINELS)
    text = "the <extra_id_0> ran to <extra_id_1>."
    asked = []

    def write(ids: list[int], n: int, new_tokens: int) -> list[Generation]:
        asked.append((tokenizer.decode(ids, special=True), n, new_tokens))
        return [
            written(tokenizer, "<extra_id_0> dog<extra_id_1> the mat<extra_id_2>"),
            written(tokenizer, "<extra_id_0> cat<extra_id_1> the mat<extra_id_2>", -1.0),
            written(tokenizer, "<extra_id_1> nobody"),
        ]

    found = fill_by_writing(tokenizer, text, write, top=3)
    assert asked == [(text, 3, 2 * 16 + 3)]
    assert found.text == "the dog ran to the mat."
    assert [[one.text for one in blank.candidates] for blank in found.blanks] == [["dog", "cat"], ["the mat", "nobody"]]
    tokens = len(tokenizer.encode(" cat"))
    assert found.blanks[0].candidates[1].probability == pytest.approx(math.exp(-tokens))
    nothing = fill_by_writing(tokenizer, text, lambda *_: [written(tokenizer, "what?")], top=1)
    assert nothing.text == "the  ran to ." and [blank.candidates for blank in nothing.blanks] == [[], []]
    with pytest.raises(DataError, match="not numbered in order"):
        fill_by_writing(tokenizer, "<extra_id_1> and <extra_id_0>", write, top=1)
    with pytest.raises(DataError, match="nothing to fill"):
        fill_by_writing(tokenizer, "no blank", write, top=1)


def test_masks_are_sentinels_where_the_vocabulary_has_both() -> None:
    tokenizer = vocabulary(*SENTINELS, "[MASK]")
    read = []

    def write(ids: list[int], n: int, new_tokens: int) -> list[Generation]:
        read.append(tokenizer.decode(ids, special=True))
        return [written(tokenizer, "<extra_id_0> cat<extra_id_1> dog")]

    assert fill_by_writing(tokenizer, "a [MASK] or [MASK]", write, top=1).text == "a cat or dog"
    assert read == ["a <extra_id_0> or <extra_id_1>"]


def test_what_a_bart_puts_between_the_parts() -> None:
    tokenizer = vocabulary("<mask>")
    texts = ["the big dog ran  to the cat", "the dog flew", "the cat ran to it"]
    found = fill_by_writing(
        tokenizer, "the <mask> ran to <mask>", lambda *_: [written(tokenizer, text) for text in texts], top=3
    )
    assert [[one.text for one in blank.candidates] for blank in found.blanks] == [["big dog", "cat"], ["the cat", "it"]]
    assert found.text == "the big dog ran to the cat"


def test_a_glm_fills_one_blank_after_the_other() -> None:
    tokenizer = vocabulary("[MASK]", "[gMASK]")
    masks = [tokenizer.id("[MASK]"), tokenizer.id("[gMASK]")]
    read = []

    def write(ids: list[int], n: int, new_tokens: int) -> list[Generation]:
        read.append(tokenizer.decode(ids, special=True))
        return [written(tokenizer, f"cat {len(read)}"), written(tokenizer, "dog", -2.0)]

    found = fill_in_turn(tokenizer, masks, "the [MASK] ran. [gMASK]", write, top=2)
    assert read == ["the [MASK] ran. [gMASK]", "the cat 1 ran. [gMASK]"]
    assert found.text == "the cat 1 ran. cat 2"
    assert [one.text for one in found.blanks[0].candidates] == ["cat 1", "dog"]
    with pytest.raises(DataError, match=r"nothing to fill[\s\S]*\[gMASK\]"):
        fill_in_turn(tokenizer, masks, "nothing", write, top=1)


def test_a_real_t5_gives_as_many_candidates_as_it_writes() -> None:
    tokenizer = vocabulary(*SENTINELS)
    model = LocalModel(small.network("t5", tokenizer.vocabulary_size), tokenizer)
    assert "fill" in model.capabilities
    assert len(model.fill("the <extra_id_0> sat", top=2).blanks) == 1
    without = LocalModel(model.network, vocabulary())
    with pytest.raises(Unsupported, match="cannot fill"):
        without.fill("the <extra_id_0> sat")
