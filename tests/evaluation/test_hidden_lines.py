"""Lines that were taken out of texts, and what is written in their place."""

from types import SimpleNamespace
from typing import Any

import pytest

from trivium.errors import DataError
from trivium.evaluation.hidden_lines import HiddenLine, HiddenLines, hide_lines, restore_lines
from trivium.lm.local import LocalModel
from trivium.models.llama import Llama, LlamaConfig

TEXTS = [f"import {name}\n\n\ndef {name}_function(x):\n    value = x + {name}\n    return value\n" for name in "abcdef"]


def test_lines_are_drawn_with_what_stands_around_them() -> None:
    hidden = hide_lines(TEXTS, 6, characters=1000, seed=1)
    assert hidden == hide_lines(TEXTS, 6, characters=1000, seed=1) != hide_lines(TEXTS, 6, characters=1000, seed=2)
    wholes = [f"{each.prefix}\n{each.line}{each.suffix}" for each in hidden]
    assert sorted(wholes) == TEXTS  # one line of each
    for each in hidden:
        assert len(each.line.strip()) >= 8 and "\n" not in each.line and each.suffix.startswith("\n")
    near = hide_lines(TEXTS, 6, characters=5, seed=1)
    assert all(len(each.prefix) <= 5 and len(each.suffix) <= 5 for each in near)
    assert [each.line for each in near] == [each.line for each in hidden]
    with pytest.raises(DataError, match="too few lines"):
        hide_lines(TEXTS, 7, characters=10)


def test_what_is_written_is_compared_line_by_line(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = [
        HiddenLine(prefix="def f(x):", line="    return x", suffix="\n"),
        HiddenLine(prefix="def g(x):", line="    return 1", suffix="\n"),
    ]
    asked: list[Any] = []

    def answered(given: Any, **settings: Any) -> list[SimpleNamespace]:
        asked.append((given, settings["temperature"]))
        return [SimpleNamespace(text=text) for text in ("\n    return x\n\n\ndef", "\n    return 12")]

    shape = {"width": 8, "layers": 1, "heads": 2, "inner_width": 8}
    model = LocalModel(Llama(LlamaConfig(vocabulary_size=5, **shape)))
    monkeypatch.setattr(model, "completions", answered)
    monkeypatch.setattr(model, "generate", answered)
    expected = HiddenLines(lines=2, exact_match=0.5, edit_similarity=(1 + 8 / 9) / 2)
    assert restore_lines(model, hidden) == restore_lines(model, hidden, with_suffix=False) == expected
    assert asked == [([("def f(x):", "\n"), ("def g(x):", "\n")], 0.0), (["def f(x):", "def g(x):"], 0.0)]
