"""The blocks of a Transformer as adapters see them: which of them are meant, and how wide they are."""

from torch import nn

from trivium.adapters.holder import base_modules
from trivium.errors import ConfigError, Unsupported


def chosen_blocks(model: nn.Module, layers: tuple[int, ...] | None, what: str) -> list[int]:
    """The numbers of the blocks that ``layers`` names, all where it is None.

    ``Unsupported`` for a model whose blocks are no Transformer's, ``ConfigError`` for a block that it has not.
    """
    blocks = _blocks(model)
    if not blocks:
        raise Unsupported(
            f"{what} stands in the blocks of a Transformer",
            received=f"{type(model).__name__}, whose layers have no seats after attention and feed-forward layer",
            expected="a decoder, an encoder or an encoder-decoder with attention",
            fix="adapt its matrices with a LoRA, or train it in full",
        )
    if layers is None:
        return blocks
    wrong = sorted(set(layers) - set(blocks))
    if wrong or not layers:
        raise ConfigError(
            f"{what} names blocks that are not there",
            received=f"layers {', '.join(map(str, wrong)) or 'none'}",
            expected=f"some of {blocks[0]} to {blocks[-1]}",
        )
    return sorted(set(layers))


def width_of_block(model: nn.Module, block: int) -> int:
    """Features of what a sub-layer of the block gives; they need not be as many in each (ERNIE 3.0)."""
    output = base_modules(model.get_submodule(f"blocks.{block}"))["attention.output"]
    width = output.out_features
    assert isinstance(width, int)
    return width


def _blocks(model: nn.Module) -> list[int]:
    """Numbers of the blocks that have an attention, a feed-forward layer and the seats after them."""
    names = set(base_modules(model))
    parts = ("attention", "after_attention", "feedforward", "after_feedforward")
    count = len(list(model.get_submodule("blocks").children()))
    return [i for i in range(count) if all(f"blocks.{i}.{part}" in names for part in parts)]
