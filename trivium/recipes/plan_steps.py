"""One update of training, or one text that is continued, rehearsed without weights: the steps that a plan counts."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from trivium.data.batches import CausalBatch, MaskedBatch, Seq2SeqBatch
from trivium.errors import Unsupported
from trivium.models import architecture
from trivium.nn.quantized import quantise_linears
from trivium.objectives.bilm import bilm
from trivium.objectives.causal import causal
from trivium.objectives.loss import Loss
from trivium.objectives.masked import masked
from trivium.objectives.seq2seq import seq2seq
from trivium.planning import memory
from trivium.planning.memory import Rehearsed
from trivium.recipes.adapting import adapt
from trivium.recipes.method_config import WAYS, MethodName, Settings
from trivium.recipes.prompted import prompted
from trivium.training.activation_checkpointing import checkpoint_blocks
from trivium.training.eight_bit_adamw import EightBitAdamW
from trivium.training.optimisers import OptimiserConfig, build_optimisers

OptimiserName = Literal["adamw", "adamw8bit", "muon", "sgd"]
_MASKED_RATE = 0.15  # Devlin et al. 2019, section 3.1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Step:
    """What one update reads, and how it is computed."""

    rows: int
    context_tokens: int
    documents: int = 1
    """Texts of equal length that share a row without seeing each other."""
    micro_batches: int = 1
    """Parts that the rows are computed in, one after the other."""
    activation_checkpointing: bool = False
    optimiser: OptimiserName = "adamw"
    dtype: torch.dtype = torch.float32
    """What the forward pass computes in."""

    @property
    def tokens(self) -> int:
        """That it reads."""
        return self.rows * self.context_tokens


def rehearse_finetuning(network: nn.Module, method: MethodName, settings: Settings, step: Step) -> Rehearsed:
    """One update of a method of fine-tuning. `network` is on the meta device, in the format that it is kept in, and is
    of no use afterwards. Raises `ConfigError` or `Unsupported` for what the method cannot be on this network."""

    def prepare(network: nn.Module) -> None:
        if WAYS[method].quantize is not None:
            quantise_linears(network)
        adapt(network, method, settings)
        if step.activation_checkpointing:
            checkpoint_blocks(network)

    return _rehearse(network, step, prepare)


def rehearse_pretraining(network: nn.Module, step: Step) -> Rehearsed:
    """One update of a whole network, which is on the meta device and of no use afterwards."""
    return _rehearse(network, step, checkpoint_blocks if step.activation_checkpointing else None)


def rehearse_generation(network: nn.Module, *, rows: int, prompt_tokens: int, new_tokens: int, nf4: bool) -> Rehearsed:
    """Prompts that are read, with room for what is written after them. `network` is as above."""

    def read(network: Any, begun: Callable[[], None]) -> Tensor:
        state = network.new_state(rows, prompt_tokens + new_tokens)
        begun()
        output = network(torch.zeros(rows, prompt_tokens, dtype=torch.long), state=state)
        return network.head.logits(output.hidden[:, -1])

    _require_kind(network, ("decoder", "recurrent"), "a text is continued from a cache")
    return memory.of_reading(network, read, prepare=quantise_linears if nf4 else None)


def _rehearse(network: nn.Module, step: Step, prepare: memory.Prepare | None) -> Rehearsed:
    rows = -(-step.rows // step.micro_batches)
    return memory.of(
        network,
        _loss(network, rows, step),
        prepare=prepare,
        update=lambda network: _update(network, step.optimiser),
        micro_batches=min(step.micro_batches, 2),  # the second finds gradients, and so do all that follow
        dtype=step.dtype,
    )


def _update(network: nn.Module, optimiser: OptimiserName) -> Callable[[], object]:
    if optimiser == "adamw8bit":
        trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        return EightBitAdamW(trained, OptimiserConfig().rate).step
    return build_optimisers(network, OptimiserConfig(kind=optimiser)).step


def _loss(network: nn.Module, rows: int, step: Step) -> memory.Compute:
    """What a network of its kind is trained on, with `rows` whole rows of nothing."""
    objective, batch = _OBJECTIVES[_require_kind(network, tuple(_OBJECTIVES), "a language model is trained on a text")]

    if getattr(network, "head", None) is None:
        raise Unsupported(
            "a network without an output for its vocabulary is not planned", received=type(network).__name__
        )

    def total(network: nn.Module) -> Tensor:
        loss: Loss = objective(network, batch(rows, step))
        return sum(loss.auxiliary.values(), start=loss.total)

    return total


def causal_batch(rows: int, step: Step) -> CausalBatch:
    """Whole rows of nothing, of the length and with the documents of `step`."""
    tokens, mask, lengths = _whole(rows, step.context_tokens)
    segments = None
    if step.documents > 1:
        places = torch.arange(step.context_tokens) * step.documents // step.context_tokens
        segments = places.expand(rows, -1).contiguous()
    return CausalBatch(tokens=tokens, targets=tokens, mask=mask, lengths=lengths, segments=segments)


def _masked(rows: int, step: Step) -> MaskedBatch:
    tokens, _, lengths = _whole(rows, step.context_tokens)
    chosen = torch.arange(step.context_tokens) < max(1, round(_MASKED_RATE * step.context_tokens))
    return MaskedBatch(tokens=tokens, targets=tokens, mask=chosen.expand(rows, -1).contiguous(), lengths=lengths)


def _pairs(rows: int, step: Step) -> Seq2SeqBatch:
    tokens, mask, lengths = _whole(rows, step.context_tokens)
    return Seq2SeqBatch(
        source=tokens, source_lengths=lengths, tokens=tokens, targets=tokens, mask=mask, lengths=lengths
    )


def _whole(rows: int, length: int) -> tuple[Tensor, Tensor, Tensor]:
    tokens = torch.zeros(rows, length, dtype=torch.long)
    return tokens, torch.ones(rows, length, dtype=torch.bool), torch.full((rows,), length)


_OBJECTIVES: dict[str, tuple[Callable[..., Loss], Callable[[int, Step], Any]]] = {
    "decoder": (prompted(causal), causal_batch),
    "recurrent": (prompted(causal), causal_batch),
    "bidirectional recurrent": (bilm, causal_batch),
    "encoder": (masked, _masked),
    "encoder-decoder": (seq2seq, _pairs),
    "recurrent encoder-decoder": (seq2seq, _pairs),
}
"""By the kind of an architecture; an encoder-decoder reads and writes texts of one length."""


def _require_kind(network: Any, kinds: tuple[str, ...], why: str) -> str:
    row = architecture(network.config.to_hf()["model_type"])
    if row.kind not in kinds:
        raise Unsupported(
            f"this is not planned: {why}", received=f"{row.name}, of kind {row.kind!r}", expected=", ".join(kinds)
        )
    return row.kind
