"""The LSTM language model beyond the contract: truncated back-propagation, configuration, sizes."""

import pytest
import torch

from trivium.data.batches import CausalBatch
from trivium.errors import ConfigError
from trivium.models.lstm import LSTM, SIZES, LSTMConfig
from trivium.objectives.causal import causal


def build() -> LSTM:
    return LSTM(LSTMConfig(vocabulary_size=19, width=8, layers=2, dropout=0.0)).double()


def piece(tokens: torch.Tensor, start: int, stop: int, continues: list[bool]) -> CausalBatch:
    inputs, targets = tokens[:, start:stop], tokens[:, start + 1 : stop + 1]
    lengths = torch.full((tokens.shape[0],), stop - start)
    mask = torch.ones_like(inputs, dtype=torch.bool)
    return CausalBatch(inputs, targets, mask, lengths, continues=torch.tensor(continues))


def test_truncated_back_propagation_sums_to_one_long_pass() -> None:
    model, tokens = build(), torch.randint(19, (2, 13))
    whole = causal(model, piece(tokens, 0, 12, [False, False]))
    state, total = model.new_state(2, 0), 0.0
    for start in (0, 4, 8):
        loss = causal(model, piece(tokens, start, start + 4, [start > 0] * 2), state=state)
        total, state = total + loss.total, loss.state.detach()
    torch.testing.assert_close(total, whole.total, rtol=0, atol=1e-10)


def test_a_row_that_does_not_continue_starts_afresh() -> None:
    model, tokens = build(), torch.randint(19, (2, 9))
    first = causal(model, piece(tokens, 0, 4, [False, False]), state=model.new_state(2, 0))
    second = causal(model, piece(tokens, 4, 8, [True, False]), state=first.state)
    fresh = causal(model, piece(tokens[1:], 4, 8, [False]), state=model.new_state(1, 0))
    whole = causal(model, piece(tokens[:1], 0, 8, [False]), state=model.new_state(1, 0))
    begun = causal(model, piece(tokens[:1], 0, 4, [False]), state=model.new_state(1, 0))
    torch.testing.assert_close(second.total, whole.total - begun.total + fresh.total, rtol=0, atol=1e-10)
    assert second.state.lengths.tolist() == [8, 4]


def test_unknown_field() -> None:
    assert LSTMConfig.from_hf({"model_type": "trivium-lstm", "vocabulary_size": 9, "eos_token_id": 2}).width == 650
    with pytest.raises(ConfigError, match="did you mean width"):
        LSTMConfig.from_hf({"model_type": "trivium-lstm", "widht": 9})


def test_published_sizes() -> None:
    """Zaremba et al. 2014: 20M parameters in the medium model, 66M in the large one."""
    with torch.device("meta"):
        counts = {name: sum(p.numel() for p in LSTM(config).parameters()) for name, config in SIZES.items()}
    assert counts == {"lstm-small": 4_653_200, "lstm-medium": 19_780_400, "lstm-large": 66_034_000}
