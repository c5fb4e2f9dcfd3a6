"""What a model makes of texts and of words, layer by layer: the vectors that probes and distances are measured on.

vectors = text_vectors(model, [[2, 5, 6, 3], [2, 8, 3]], pooling="mean")        # {layer: [texts, D]}
vectors = word_vectors(model, read_words(tokenizer, sentences))                # {layer: [words, D]}

An encoder-decoder (``start_id`` is given) reads each text with both stacks: the encoder as it is, and the decoder
writing the text after having read it; at a word, the decoder has just been given that word.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.data.padding import padded
from trivium.data.shards import Ids
from trivium.data.tagged import WordPieces
from trivium.nn.classification_head import Pooling, pool

Stack = Literal["", "encoder", "decoder"]
"""Which of the two stacks of an encoder-decoder; empty for a model that has one."""


@dataclass(frozen=True, kw_only=True, order=True)
class Layer:
    """One height in a model."""

    stack: Stack
    number: int
    """0 is what the first block is given, n the output of the n-th block."""

    @property
    def name(self) -> str:
        """For people: "layer 3", "encoder 3"; the height below the first block is "embeddings"."""
        if self.number:
            return f"{self.stack or 'layer'} {self.number}"
        return f"{self.stack} embeddings".strip()


def text_vectors(
    model: nn.Module, texts: Sequence[Ids], *, pooling: Pooling, start_id: int | None = None, rows: int = 32
) -> dict[Layer, Float[Tensor, "N D"]]:
    """One vector for each text at every layer, from its ids with whatever special tokens it is read with; float32.

    ``start_id`` is what the decoder of an encoder-decoder begins with; ``rows`` texts are read at a time.
    """

    def pooled(hidden: Tensor, lengths: Tensor, _: Sequence[int]) -> Tensor:
        return pool(hidden, lengths, pooling)

    return _vectors(model, texts, pooled, start_id, rows)


def word_vectors(
    model: nn.Module, sentences: Sequence[Sequence[WordPieces]], *, start_id: int | None = None, rows: int = 32
) -> dict[Layer, Float[Tensor, "N D"]]:
    """One vector for each word of all sentences, in their order, at every layer: that of the piece it is read at.

    ``sentences`` are as `trivium.data.tagged.read_words` cuts them.
    """
    stretches = [stretch for sentence in sentences for stretch in sentence]

    def of_words(hidden: Tensor, _: Tensor, chosen: Sequence[int]) -> Tensor:
        places = [(row, place) for row, index in enumerate(chosen) for place in stretches[index].places]
        at = torch.tensor(places, device=hidden.device)
        return hidden[at[:, 0], at[:, 1]]

    return _vectors(model, [stretch.ids for stretch in stretches], of_words, start_id, rows)


@torch.no_grad()
def _vectors(
    model: nn.Module,
    texts: Sequence[Ids],
    take: Callable[[Tensor, Tensor, Sequence[int]], Tensor],
    start_id: int | None,
    rows: int,
) -> dict[Layer, Tensor]:
    """What ``take`` takes of each batch, at every layer, on the CPU; texts are read in their order."""
    found: dict[Layer, list[Tensor]] = {}
    device = next(model.parameters()).device
    for start in range(0, len(texts), rows):
        chosen = range(start, min(start + rows, len(texts)))
        tokens, lengths = (each.to(device) for each in padded([texts[index] for index in chosen]))
        for layer, hidden in _read(model, tokens, lengths, start_id):
            found.setdefault(layer, []).append(take(hidden, lengths, chosen).float().cpu())
    return {layer: torch.cat(parts) for layer, parts in found.items()}


def _read(
    model: nn.Module, tokens: Int[Tensor, "B T"], lengths: Int[Tensor, "B"], start_id: int | None
) -> Iterator[tuple[Layer, Float[Tensor, "B T D"]]]:
    """Every layer of every stack over these texts."""
    model.eval()
    if start_id is None:
        yield from _layers("", model(tokens, lengths=lengths, collect=("hidden",)).collected["hidden"])
        return
    yield from _layers("encoder", model.read(tokens, lengths=lengths, collect=("hidden",)).collected["hidden"])
    state = model.encode(tokens, lengths)
    start = torch.full_like(tokens[:, :1], start_id)
    written = torch.cat([start, tokens], dim=1)
    output = model(written, lengths=lengths + 1, state=state, collect=("hidden",))
    yield from _layers("decoder", [hidden[:, 1:] for hidden in output.collected["hidden"]])


def _layers(stack: Stack, hidden: Sequence[Tensor]) -> Iterator[tuple[Layer, Tensor]]:
    for number, each in enumerate(hidden):
        yield Layer(stack=stack, number=number), each
