"""How a text is to be continued, as `generate` and `chat` ask for it."""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sampling:
    """How each next token is chosen; what is left out comes from the model's own generation_config.json."""

    max_new_tokens: int = 100
    """The longest answer, in tokens."""
    temperature: float | None = None
    """Divides the logits before sampling; 0 always takes the most probable token."""
    top_k: int | None = None
    """Sample among this many of the most probable tokens."""
    top_p: float | None = None
    """Sample among the fewest tokens that together hold this much probability."""
    seed: int | None = None
    """The same seed gives the same text."""
    stop: tuple[str, ...] = ()
    """Texts that end the answer."""

    def arguments(self) -> dict[str, Any]:
        """As `LanguageModel.generate` takes them."""
        return dataclasses.asdict(self)
