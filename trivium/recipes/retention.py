"""Against forgetting: fine-tuning that is held near what the model was, by weights or by what it says.

    objective = retaining(causal, model, RetentionConfig(kept_close=0.1), text=batches, seed=0)

`elastic_weights` (EWC) holds each trained weight where it was, the more the more the general text depends on it;
`kept_close` holds the probabilities of the next token near those of the base. Both can be had at once. What they
compare with is the model as it is now, before it is trained: of its trained parameters a copy is kept, of an adapter
therefore a small one.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from trivium.data.batches import CausalBatch
from trivium.errors import ConfigError, DataError, Unsupported
from trivium.objectives.causal import causal
from trivium.objectives.elastic_weights import Consolidated, consolidated, elastic
from trivium.objectives.kept_close import AsBase, kept_close
from trivium.objectives.loss import Loss
from trivium.recipes.prompted import prompted
from trivium.recipes.training import require_at_least


@dataclasses.dataclass(frozen=True, kw_only=True)
class RetentionConfig:
    """What holds a model near what it was."""

    elastic_weights: float = 0.0
    """Lambda of elastic weight consolidation (Kirkpatrick et al. 2017): how firmly weights that matter for general text
    are held; 0 for not at all. Values of 10 to 10,000 are usual."""
    fisher_rows: int = 200
    """Rows of general text from which it is told which weights matter."""
    kept_close: float = 0.0
    """Weight of the divergence from the base at every token that is trained on, in nats; 0 for none. 0.1 is usual."""

    def __post_init__(self) -> None:
        require_at_least(1, fisher_rows=self.fisher_rows)
        for name in ("elastic_weights", "kept_close"):
            value = getattr(self, name)
            if not 0 <= value < float("inf"):
                raise ConfigError(f"{name} must be a finite number of at least 0", received=value)

    @property
    def needs_text(self) -> bool:
        """Whether general text is needed."""
        return self.elastic_weights > 0


def retaining(
    config: RetentionConfig,
    model: nn.Module,
    *,
    text: Iterable[CausalBatch] = (),
    seed: int = 0,
    earlier: Consolidated | None = None,
) -> Callable[..., Loss]:
    """Next-token prediction after the active adapter's prompt, with what `config` adds to it.

    Called with ``model`` as training will begin with it. ``text`` is what elastic weights are told by, of which as many
    rows are read as `config` says; ``earlier`` what a run before this one has to keep. Raises `DataError` for less text
    than that, `Unsupported` for a sharded model.
    """
    if (config.elastic_weights or config.kept_close) and any(isinstance(p, DTensor) for p in model.parameters()):
        raise Unsupported(
            "a sharded model held near what it was",
            fix="set several_processes to replicate, or leave elastic_weights and kept_close out",
        )
    objective = prompted(kept_close(as_now(model), config.kept_close) if config.kept_close else causal)
    if not config.elastic_weights:
        return objective
    needed = consolidated(model, _rows(text, config.fisher_rows), seed=seed, reading=prompted)
    held = needed if earlier is None else earlier.after(needed)
    return elastic(objective, held, config.elastic_weights)


def as_now(model: nn.Module) -> AsBase:
    """The context in which ``model``, or a copy of it, computes as it does now, with the trained parameters as they are
    now.

    They are exchanged and not written over, so that a graph in which they are is still good for its backward pass.
    """
    kept = {name: parameter.detach().clone() for name, parameter in model.named_parameters() if parameter.requires_grad}

    @contextmanager
    def as_base(network: nn.Module) -> Iterator[None]:
        own = {name: parameter for name, parameter in network.named_parameters() if name in kept}
        trained = {name: parameter.data for name, parameter in own.items()}
        _exchange(own, kept)
        try:
            yield
        finally:
            _exchange(own, trained)

    return as_base


def _exchange(parameters: Mapping[str, nn.Parameter], values: Mapping[str, Tensor]) -> None:
    for name, parameter in parameters.items():
        parameter.data = values[name]


def _rows(text: Iterable[CausalBatch], count: int) -> Iterator[CausalBatch]:
    """The first ``count`` rows."""
    left = count
    for batch in text:
        part = batch.part(0, min(left, batch.rows))
        left -= part.rows
        yield part
        if not left:
            return
    raise DataError(
        "there is less general text than elastic weights are to be told by",
        received=f"{count - left} rows",
        expected=f"{count} rows",
        fix=f"set fisher_rows to {count - left}, or give more text" if left < count else "give text",
    )
