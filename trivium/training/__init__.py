"""Training: learners own the mathematics of one update, the trainer owns time, a run is a folder.

`PPO` is imported on first use: most of what trains needs nothing of it.
"""

from typing import Any

__all__ = ["PPO"]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name == "PPO":
        from trivium.training.ppo import PPO

        return PPO
    raise AttributeError(f"module 'trivium.training' has no attribute {name!r}")
