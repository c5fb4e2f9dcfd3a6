"""Where a run stands: the trainer's own state, saved with every checkpoint."""

import dataclasses
import math
from typing import Any

_TOLD = ("loss", "tokens", "learning_rate", "gradient_norm", "skipped")
"""What every learner tells of an update; the rest are the metrics of its objective."""


@dataclasses.dataclass
class Standing:
    """Counts since the start of the run, and sums since its last log line."""

    step: int = 0
    tokens: float = 0.0
    seconds: float = 0.0
    skipped: int = 0
    settled: bool = True
    """Whether this step's evaluation and log line are done; False where a signal came before them."""
    logged_step: int = 0
    window_loss: float = 0.0
    """Sum of losses since the last log line, and its count, so that a line does not depend on an interruption."""
    window_tokens: float = 0.0
    window_seconds: float = 0.0
    window_metrics: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    """Of each of the objective's own metrics since the last log line: the sum over tokens, and their number."""
    learning_rate: float = 0.0
    gradient_norm: float | None = None
    scores: dict[str, float] = dataclasses.field(default_factory=dict)
    """Validation loss by step, as text for JSON."""

    def add(self, metrics: dict[str, float], seconds: float) -> None:
        """Takes in one update."""
        self.step += 1
        self.settled = False
        self.window_seconds += seconds
        norm = metrics["gradient_norm"]
        self.learning_rate, self.gradient_norm = metrics["learning_rate"], norm if math.isfinite(norm) else None
        if metrics["skipped"]:
            self.skipped += 1
            return
        self.tokens += metrics["tokens"]
        self.window_tokens += metrics["tokens"]
        self.window_loss += metrics["loss"] * metrics["tokens"]
        for name in metrics.keys() - set(_TOLD):
            if not math.isfinite(metrics[name]):  # JSON has no such number, and a mean no use for it
                continue
            total, tokens = self.window_metrics.get(name, (0.0, 0.0))
            self.window_metrics[name] = [total + metrics[name] * metrics["tokens"], tokens + metrics["tokens"]]

    def line(self, validation_loss: float | None) -> dict[str, Any]:
        """The line of metrics.jsonl for this step; the window starts again."""
        row = {
            "step": self.step,
            "tokens": self.tokens,
            "seconds": round(self.seconds, 3),
            "loss": self.window_loss / self.window_tokens if self.window_tokens else None,
            "validation_loss": validation_loss,
            "learning_rate": self.learning_rate,
            "gradient_norm": self.gradient_norm,
            "tokens_per_second": round(self.window_tokens / self.window_seconds, 1) if self.window_seconds else None,
            "skipped": self.skipped,
        }
        row |= {name: total / tokens for name, (total, tokens) in sorted(self.window_metrics.items()) if tokens}
        self.window_loss = self.window_tokens = self.window_seconds = 0.0
        self.window_metrics = {}
        self.logged_step = self.step
        return row
