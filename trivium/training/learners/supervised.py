"""Gradient descent on an objective: pre-training, fine-tuning, classification, preference losses, distillation."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from trivium.errors import ConfigError
from trivium.nn.state import State
from trivium.objectives.loss import Loss
from trivium.training import parallel
from trivium.training.averaged_sgd import NonMonotoneAverage
from trivium.training.ema import MovingAverage
from trivium.training.in_backward import require_possible
from trivium.training.learners.updates import Updates, below, learnt_tensors, load_tensors
from trivium.training.optimisers import OptimiserConfig
from trivium.training.precision import Precision, autocast
from trivium.training.private_gradients import Privacy, PrivateGradient
from trivium.training.schedules import ScheduleConfig, schedule

Objective = Callable[..., Loss]
"""`(model, batch) -> Loss`; with `carry` also `(model, batch, state) -> Loss`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SupervisedConfig:
    """How a model is trained on an objective."""

    optimiser: OptimiserConfig = dataclasses.field(default_factory=OptimiserConfig)
    """Which optimiser takes which parameter, at what rate."""
    schedule: ScheduleConfig = dataclasses.field(default_factory=ScheduleConfig)
    """How the rates go with the step."""
    micro_batches: int = 1
    """Parts that a batch is computed in, one after the other: less memory, the same update."""
    clip_norm: float | None = 1.0
    """Longest gradient that is applied as it is (L2 norm over all parameters); null for no limit."""
    ema_decay: float | None = None
    """Decay of a moving average of the weights, which is then what is evaluated and published; null for none."""
    non_monotone_evaluations: int | None = None
    """NT-ASGD: evaluate and publish the mean of the weights since the validation loss was first above the best of all
    but so many evaluations before; null for no such mean."""
    full_rate_tokens: int | None = None
    """Length of the rows that are learned from at the schedule's rate; longer or shorter ones scale it in proportion
    (Merity et al. 2018, section 4.1). Null: the rate does not depend on the length."""
    carry: bool = False
    """Truncated back-propagation: the state at the end of a batch is where the next one begins."""
    precision: Precision = "float32"
    """Number format of the forward and backward pass."""
    update_in_backward: bool = False
    """Update each parameter as soon as its gradient is whole, so that gradients are never held together; neither with
    clipping nor with micro-batches."""
    privacy: Privacy | None = None
    """Private training: every row is an example, each of which is clipped, and noise is added; null for none."""
    skips_in_a_row: int = 10
    """Updates that may be skipped one after the other because the loss or a gradient is not finite."""

    def __post_init__(self) -> None:
        if self.micro_batches < 1:
            raise ConfigError("micro_batches must be at least 1", received=self.micro_batches)
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise ConfigError("clip_norm must be above 0", received=self.clip_norm, fix="set it to null for no limit")
        if self.ema_decay is not None and self.non_monotone_evaluations is not None:
            raise ConfigError(
                "the weights are averaged in one way only",
                received=f"ema_decay {self.ema_decay}, non_monotone_evaluations {self.non_monotone_evaluations}",
                fix="leave one of them out",
            )
        if self.full_rate_tokens is not None and self.full_rate_tokens < 1:
            raise ConfigError("full_rate_tokens must be at least 1", received=self.full_rate_tokens)
        if self.update_in_backward:
            require_possible(micro_batches=self.micro_batches, clip_norm=self.clip_norm)
            if self.privacy is not None:
                raise ConfigError(
                    "private training adds up the gradients of examples, and so holds gradients",
                    fix="set update_in_backward to false",
                )
        if self.skips_in_a_row < 0:
            raise ConfigError("skips_in_a_row must not be negative", received=self.skips_in_a_row)


class SupervisedLearner:
    """Minimises `objective` over batches. See `trivium.training.learners.protocol.Learner` for the methods."""

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        config: SupervisedConfig,
        *,
        steps: int,
        factors: Mapping[str, float] | None = None,
        before_step: Callable[[int], None] | None = None,
    ) -> None:
        """`model` is on its device, and checkpointed, compiled and sharded as wanted; `steps` is the number of
        updates that the schedule stretches over.

        The parameters that require gradients now are those that are learnt. One that `factors` names has so many times
        the rate of the others. `before_step` is called before each update with the number of those before it, and may
        let some of them rest (`requires_grad`).
        """
        self.model, self._objective, self._config = model, objective, config
        self._before_step = before_step
        self._updates = Updates(
            model,
            config.optimiser,
            clip_norm=config.clip_norm,
            skips_in_a_row=config.skips_in_a_row,
            name="model",
            factors=factors,
            within_backward=config.update_in_backward,
            private=None if config.privacy is None else PrivateGradient(config.privacy, device=_device_of(model)),
        )
        self._device = _device_of(model)
        self._factor = schedule(config.schedule, steps)
        self._autocast = autocast(config.precision, self._device)
        # Taken now: a sharded model shows other parameters while it computes.
        self._learnt = learnt_tensors(model)
        self._average = _average_of({name: p for name, p in model.named_parameters() if p.requires_grad}, config)
        self._carried: State | None = None

    def step(self, batch: Any) -> dict[str, float]:
        """One update on this process's share of the global batch."""
        self.model.train()
        if self._before_step is not None:
            self._before_step(self._updates.count)
        states: list[State | None] = []
        losses = self._losses(batch.to(self._device), states)
        result = self._updates.apply(losses, self._rate(batch))
        # After a skip nothing is carried on: what was carried may be the cause.
        self._carried = _joined(states) if result.finite else None
        if result.finite and self._average is not None:
            self._average.update(self._updates.count)
        # Where the loss is a mean over texts or words, the objective says how many tokens each had.
        tokens_each = result.metrics.pop("tokens", 1.0)
        return {
            "loss": result.loss,
            "tokens": float(round(tokens_each * result.count)),
            "learning_rate": self._updates.learning_rate,
            "gradient_norm": result.norm,
            "skipped": 0.0 if result.finite else 1.0,
            **result.metrics,
        }

    def _rate(self, batch: Any) -> float:
        """The factor of the peak rate for this batch."""
        factor = self._factor(self._updates.count)
        usual = self._config.full_rate_tokens
        return factor if usual is None else factor * batch.tokens.shape[1] / usual

    def _losses(self, batch: Any, states: list[State | None]) -> Iterator[Loss]:
        """The loss of each micro-batch, and what it carries on, detached, into `states`."""
        carried = self._carried_for(batch) if self._config.carry else None
        first = 0
        for part in self._parts(batch):
            rows = torch.arange(first, first + part.rows, device=self._device)
            first += part.rows
            with self._autocast:  # left before the loss is given out: the backward pass is not part of it
                state = () if carried is None else (carried.take(rows),)
                loss = self._objective(self.model, part, *state)
            if carried is not None:
                states.append(None if loss.state is None else loss.state.detach())
            yield loss

    def _parts(self, batch: Any) -> list[Any]:
        """What the loss is computed of at once: micro-batches, or single examples, of which there may be none."""
        if self._config.privacy is None:
            return batch.split(self._config.micro_batches)
        return batch.split(batch.rows) if batch.rows else []

    def _carried_for(self, batch: Any) -> State:
        """The state that `batch` begins with: empty at the start, after a skip, and when the number of rows changes."""
        if self._carried is None or self._carried.rows != batch.rows:
            return self.model.new_state(batch.rows, batch.tokens.shape[1])
        return self._carried

    @torch.no_grad()
    def evaluate(self, batch: Any) -> tuple[float, float]:
        """Sum of losses and count over `batch`, with the averaged weights where they are kept, from an empty state."""
        self.model.eval()
        if self._average is None:
            return self._evaluate(batch)
        with self._average.in_place():
            return self._evaluate(batch)

    def _evaluate(self, batch: Any) -> tuple[float, float]:
        with self._autocast:
            loss = self._objective(self.model, batch.to(self._device))
        parallel.reshard(self.model)
        return float(loss.total), float(loss.count)

    @property
    def finished(self) -> bool:
        """It learns until it is stopped."""
        return False

    def heed(self, validation_loss: float) -> None:
        """The average may begin with this evaluation."""
        if self._average is not None:
            self._average.heed(validation_loss)

    def weights(self) -> dict[str, Tensor]:
        """The state dict to publish: the averaged weights where they are kept."""
        if self._average is None:
            return parallel.whole(self.model.state_dict())
        with self._average.in_place():
            published = parallel.whole(self.model.state_dict())
            return {name: tensor.clone() for name, tensor in published.items()}

    def state_dict(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Learnt weights, buffers, optimiser moments, average and carried state, whole; counters as JSON."""
        tensors = {f"model/{name}": tensor for name, tensor in self._learnt.items()}
        moments, updates = self._updates.state_dict()
        tensors |= {f"optimiser/{name}": tensor for name, tensor in moments.items()}
        state: dict[str, Any] = {"updates": updates}
        if self._average is not None:
            averaged, state["average"] = self._average.state_dict()
            tensors |= {f"average/{name}": tensor for name, tensor in averaged.items()}
        tensors = parallel.whole(tensors)
        if self._carried is not None:
            leaves = pytree.tree_leaves(self._carried)
            tensors |= {f"carried/{index}": parallel.gather_rows(leaf) for index, leaf in enumerate(leaves)}
        return tensors, state

    def load_state_dict(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Puts back what `state_dict` gave."""
        parallel.reshard(self.model)
        load_tensors(self._learnt, below("model/", tensors))
        if self._average is not None:
            self._average.load_state_dict(below("average/", tensors), state["average"])
        self._updates.load_state_dict(below("optimiser/", tensors), state["updates"])
        self._carried = self._state_from(below("carried/", tensors))

    def _state_from(self, leaves: dict[str, Tensor]) -> State | None:
        """A carried state from its tensors; its structure is that of a new one."""
        if not leaves:
            return None
        structure = pytree.tree_structure(self.model.new_state(1, 1))
        own = [parallel.own_rows(leaves[str(index)]).to(self._device) for index in range(len(leaves))]
        return pytree.tree_unflatten(own, structure)


def _device_of(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def _average_of(named: dict[str, Tensor], config: SupervisedConfig) -> MovingAverage | NonMonotoneAverage | None:
    """The average of the weights that `config` asks for."""
    if config.non_monotone_evaluations is not None:
        return NonMonotoneAverage(named, config.non_monotone_evaluations)
    return None if config.ema_decay is None else MovingAverage(named, config.ema_decay)


def _joined(states: list[State | None]) -> State | None:
    """The states of micro-batches as one, in the order of their rows."""
    joined: State | None = None
    for state in states:
        assert state is not None, "carry needs an objective that returns the model's state"
        joined = state if joined is None else joined.join(state)
    return joined
