"""What networks of every kind are asked alike: logits, hidden states, and the state that a text is read into."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.adapters.beginning import begin_active, prefix_tokens
from trivium.errors import DataError
from trivium.generation.reading import device_of
from trivium.lm.capabilities import head_of
from trivium.models import Architecture
from trivium.nn.output import Output
from trivium.nn.state import State


@torch.inference_mode()
def logits_of(
    network: nn.Module,
    row: Architecture,
    ids: Int[Tensor, "B T"],
    decoder_ids: Int[Tensor, "B U"] | None,
    lengths: Int[Tensor, "B"] | None,
) -> Float[Tensor, "B _ V"]:
    """See ``LocalModel.logits``."""
    device, reads_source = device_of(network), row.kind.endswith("encoder-decoder")
    ids, lengths = ids.to(device), None if lengths is None else lengths.to(device)
    if reads_source != (decoder_ids is not None):
        raise DataError(
            f"{row.name} {'needs' if reads_source else 'does not take'} decoder_ids",
            received=f"decoder_ids={'None' if decoder_ids is None else 'a tensor'}",
            fix="an encoder-decoder takes a source (ids) and a target (decoder_ids); other models ids alone",
        )
    if decoder_ids is None:
        state = begun(network, *ids.shape)
        return network.head(network(ids, lengths=lengths, state=state).hidden)
    state = network.encode(ids, lengths)
    return network.head(network(decoder_ids.to(device), state=state).hidden)


def read_for_a_vector(network: nn.Module, row: Architecture, tokens: Tensor, lengths: Tensor, **told: Tensor) -> Output:
    """The hidden states that a vector is made of: of an encoder-decoder those of its encoder."""
    if row.kind == "encoder-decoder" and head_of(network.config) in ("language", "none"):
        return network.read(tokens, lengths=lengths)
    if row.kind == "encoder":
        return network(tokens, lengths=lengths, **told)
    return network(tokens, lengths=lengths, state=begun(network, *tokens.shape))


def begun(network: nn.Module, rows: int, length: int) -> State | None:
    """What texts are read into where the active adapter is a prompt."""
    return begin_active(network, [None] * rows, length) if prefix_tokens(network) else None
