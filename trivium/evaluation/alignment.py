"""Where a translation model looks in its source while it writes: the alignment of Bahdanau, Cho and Bengio 2015."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


@torch.no_grad()
def alignment(model: nn.Module, source: Sequence[int], target: Sequence[int]) -> Float[Tensor, "T S"]:
    """Row t is how the attention to ``source`` was shared out when token t of ``target`` was to be written.

    A Transformer has many heads in many layers: this is the mean over the heads of the layer before the last, which
    of all agrees best with what people align (Garg et al. 2019, "Jointly Learning to Align and Translate with
    Transformer Models"). Raises ``Unsupported`` where the decoder sees one vector of the source.
    """
    config = model.eval().config
    device = next(model.parameters()).device
    state = model.encode(torch.tensor([list(source)], device=device))
    begun = torch.tensor([[config.start_id, *target[:-1]]], device=device)
    layers = model(begun, state=state, collect=("cross_attention",)).collected["cross_attention"]
    return layers[max(len(layers) - 2, 0)][0].mean(0).float().cpu()
