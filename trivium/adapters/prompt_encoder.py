"""P-tuning: a soft prompt whose vectors a small network makes, so that they hang together (Liu et al. 2021, "GPT
Understands, Too", section 3.2). The network is there to train with: what is saved is what comes out of it."""

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from trivium.adapters.adapter_set import Placing
from trivium.adapters.beginning import drawn, repeated, require_beginnings, require_tokens
from trivium.adapters.soft_prompt import SoftPrompt, embedded, placing
from trivium.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class PTuningConfig:
    """Size of a soft prompt, and of the network that makes it."""

    tokens: int = 20
    """Positions P before the text; they count towards the model's context."""
    encoder: Literal["lstm", "mlp"] = "lstm"
    """lstm: read from both sides by an LSTM, then two layers (the authors'); mlp: three layers, each position alone."""
    hidden_width: int | None = None
    """Units of the network (of each direction of the LSTM); as wide as the model's embeddings where not given."""
    layers: int = 2
    """Layers of the LSTM."""
    dropout: float = 0.0
    """Dropout between the layers of the LSTM."""

    def __post_init__(self) -> None:
        require_tokens(self.tokens, ())
        if self.layers < 1 or (self.hidden_width is not None and self.hidden_width < 1):
            received = f"layers {self.layers}, hidden_width {self.hidden_width}"
            raise ConfigError("a prompt encoder has at least one layer, of one unit", received=received)
        if not 0 <= self.dropout < 1:
            raise ConfigError("dropout must be at least 0 and below 1", received=self.dropout)
        unused = self.encoder == "mlp" and (self.layers, self.dropout) != (2, 0.0)
        if unused or (self.dropout > 0 and self.layers == 1):
            raise ConfigError(
                "layers and dropout are of the LSTM, dropout between two of its layers",
                received=f"encoder {self.encoder!r}, layers {self.layers}, dropout {self.dropout}",
                fix="leave them out, or choose the lstm with 2 layers or more",
            )


class LSTMEncoder(nn.Module):
    """Equation 4 of the paper: an LSTM from both sides and two layers with a ReLU between them."""

    def __init__(self, like: Float[Tensor, "P D"], hidden: int, layers: int, dropout: float) -> None:
        super().__init__()
        kind, width = {"dtype": like.dtype, "device": like.device}, like.shape[1]
        self.lstm = nn.LSTM(width, hidden, layers, dropout=dropout, bidirectional=True, batch_first=True, **kind)
        inner = nn.Linear(2 * hidden, 2 * hidden, **kind)
        self.mlp = nn.Sequential(inner, nn.ReLU(), nn.Linear(2 * hidden, width, **kind))

    def forward(self, x: Float[Tensor, "P D"]) -> Float[Tensor, "P D"]:
        return self.mlp(self.lstm(x)[0])


def prepare(model: nn.Module, config: PTuningConfig) -> Placing:
    """A prompt whose encoder starts at random, from the vectors of tokens drawn from the vocabulary. Raises as
    ``soft_prompt.prepare``."""
    require_beginnings(model, "a soft prompt", config.tokens)
    start = embedded(model, repeated(drawn(config.tokens, model), config.tokens, model))
    width = start.shape[1]
    hidden = config.hidden_width or width
    if config.encoder == "lstm":
        return placing(SoftPrompt(start, LSTMEncoder(start, hidden, config.layers, config.dropout)))
    # Made where and as they stay: PyTorch cannot convert an LSTM whose numbers have no value (`trivium.planning`).
    kind = {"dtype": start.dtype, "device": start.device}
    inner = [nn.Linear(width, hidden, **kind), nn.ReLU(), nn.Linear(hidden, hidden, **kind), nn.ReLU()]
    return placing(SoftPrompt(start, nn.Sequential(*inner, nn.Linear(hidden, width, **kind))))
