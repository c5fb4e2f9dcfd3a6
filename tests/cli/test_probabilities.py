"""What a model thought at each token of an answer: only of those tokens, whatever stood before them."""

import importlib.util
import pathlib
from typing import Any

import pytest
import torch

from trivium.cli import probabilities
from trivium.lm.local import LocalModel

_spec = importlib.util.spec_from_file_location("small", pathlib.Path(__file__).parents[1] / "lm" / "small.py")
small = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(small)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return small.byte_tokenizer()


@pytest.mark.parametrize("name", ["gpt2", "llama", "lstm", "t5"])
def test_only_what_is_shown_is_computed(tokenizer: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = LocalModel(small.network(name, tokenizer.vocabulary_size), tokenizer)
    prompt, answer = tokenizer.encode("the cat sat on the mat and"), tokenizer.encode(" the dog ran")
    if name == "t5":
        logits = model.logits(torch.tensor([prompt]), torch.tensor([[model.config.start_id, *answer[:-1]]]))[0]
    else:
        logits = model.logits(torch.tensor([prompt + answer[:-1]]))[0, len(prompt) - 1 :]
    expected = logits.softmax(-1)
    rows: list[int] = []
    model.network.head.register_forward_pre_hook(lambda module, arguments: rows.append(arguments[0].shape[0]))
    monkeypatch.setattr(probabilities, "CHUNK_ROWS", 2)
    seen = probabilities.look(model, prompt, answer)
    assert sum(rows) == len(answer) == len(seen) and max(rows) == 2
    for row, (token, one) in enumerate(zip(answer, seen, strict=True)):
        assert one.probability == pytest.approx(float(expected[row, token]), abs=1e-10)
        others = [float(chance) for other, chance in enumerate(expected[row]) if other != token]
        assert [chance for _, chance in one.alternatives][:3] == pytest.approx(sorted(others)[:-4:-1], abs=1e-10)
    assert "".join(one.text for one in seen[1:]) in " the dog ran"
