"""Texts of Phi-3 that grow past the original context: read again, by the other angles, each by itself."""

from typing import Any

import pytest
import torch

from trivium.adapters.attach import attach
from trivium.adapters.prefix import PrefixConfig
from trivium.errors import Unsupported
from trivium.models.phi3 import Phi3, Phi3Config
from trivium.nn.positions.rope import Rope

ORIGINAL, V = 8, 23


def phi3(**changes: Any) -> Phi3:
    torch.manual_seed(0)
    rope = Rope(
        kind="longrope",
        original_context_tokens=ORIGINAL,
        short_factors=(1.0, 1.1),
        long_factors=(1.5, 4.0),
    )
    sizes = {"vocabulary_size": V, "width": 16, "layers": 3, "heads": 4, "inner_width": 24, "context_tokens": 32}
    model = Phi3(Phi3Config(**sizes, rope=rope, **{"window_tokens": None, **changes})).double().eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return model


def texts(*lengths: int) -> list[torch.Tensor]:
    chance = torch.Generator().manual_seed(1)
    return [torch.randint(V, (length,), generator=chance) for length in lengths]


def last(model: Phi3, text: torch.Tensor) -> torch.Tensor:
    """What a whole text ends in, read alone and at once."""
    return model(text[None]).hidden[0, -1]


def close(a: torch.Tensor, b: torch.Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


@pytest.mark.parametrize("changes", [{}, {"window_tokens": 3}, {"key_value_heads": 2}])
@torch.no_grad()
def test_token_by_token_is_at_once_on_either_side_of_the_border(changes: dict[str, Any]) -> None:
    model = phi3(**changes)
    (text,) = texts(14)
    state = model.new_state(1, 14)
    for length in range(1, 15):
        output = model(text[None, length - 1 : length], state=state)
        state = output.state
        close(output.hidden[0, -1], last(model, text[:length]))
    assert (last(model, text[: ORIGINAL + 1]) - model(text[None]).hidden[0, ORIGINAL]).abs().max() < 1e-10
    assert (model(text[None, :ORIGINAL]).hidden - model(text[None]).hidden[:, :ORIGINAL]).abs().max() > 1e-3


@torch.no_grad()
def test_rows_cross_it_each_by_itself() -> None:
    """Rows of unequal length in one batch, of which one crosses, one has crossed and one does not."""
    model, (a, b, c) = phi3(), texts(ORIGINAL + 2, ORIGINAL + 5, 4)
    lengths = torch.tensor([ORIGINAL, ORIGINAL + 3, 2])
    padded = torch.zeros(3, int(lengths.max()), dtype=torch.long)
    for row, (text, length) in enumerate(zip((a, b, c), lengths.tolist(), strict=True)):
        padded[row, :length] = text[:length]
    hidden = model(padded, lengths=lengths).hidden
    for row, (text, length) in enumerate(zip((a, b, c), lengths.tolist(), strict=True)):
        close(hidden[row, length - 1], last(model, text[:length]))
    state = model(padded, lengths=lengths, state=model.new_state(3, 20)).state
    new = torch.stack([text[length : length + 2] for text, length in zip((a, b, c), lengths.tolist(), strict=True)])
    output = model(new, state=state)
    for row, text in enumerate((a, b, c)):
        close(output.hidden[row, -1], last(model, text))


@torch.no_grad()
def test_packed_and_ragged_texts_each_by_itself() -> None:
    model, (a, b) = phi3(), texts(ORIGINAL + 3, 5)
    packed = torch.cat([a, b])[None]
    segments = torch.tensor([0] * len(a) + [1] * len(b))[None]
    hidden = model(packed, segments=segments).hidden[0]
    close(hidden[len(a) - 1], last(model, a))
    close(hidden[-1], last(model, b))
    state = model.new_state(2, 20)
    for parts in ((a[:6], b[:2]), (a[6:], b[2:])):
        rows = torch.tensor([0] * len(parts[0]) + [1] * len(parts[1]))
        output = model(torch.cat(parts)[None], segments=rows[None], state=state)
        state = output.state
    close(output.hidden[0, 4], last(model, a))
    close(output.hidden[0, -1], last(model, b))


@torch.no_grad()
def test_what_is_taken_back_is_read_again_too() -> None:
    model, (text,) = phi3(), texts(ORIGINAL + 2)
    state = model(text[None], state=model.new_state(1, 20)).state
    state = state.rollback(torch.tensor([ORIGINAL - 3]))
    output = model(text[None, ORIGINAL - 3 : ORIGINAL - 1], state=state)
    close(output.hidden[0, -1], last(model, text[: ORIGINAL - 1]))
    taken = output.state.take(torch.tensor([0, 0])).join(output.state.reserve(1, 20))
    again = model(text[ORIGINAL - 1 :].expand(3, 3), state=taken)
    close(again.hidden[:, -1], last(model, text).expand(3, -1))


def test_a_prefix_cannot_be_read_again() -> None:
    with pytest.raises(Unsupported, match="soft prompt"):
        attach(phi3(), "long", PrefixConfig(tokens=2))
