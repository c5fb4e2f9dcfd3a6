"""How probable each token of an answer was, and what else the model might have said."""

import dataclasses
import math
from collections.abc import Iterator, Sequence

import torch
from rich.console import Console
from torch import Tensor

from trivium.adapters.beginning import begin_active
from trivium.cli.terminal import visible, write
from trivium.errors import Unsupported
from trivium.lm.hosted.model import HostedModel
from trivium.lm.local import LocalModel
from trivium.nn.head import CHUNK_ROWS

# From likely to unlikely: the least probability of a colour, and the colour.
_STYLES = ((0.5, "green"), (0.2, "cyan"), (0.05, "yellow"), (0.0, "red"))
_ALTERNATIVES = 4
_WIDEST_TOKEN = 24


@dataclasses.dataclass(frozen=True, kw_only=True)
class Seen:
    """One token where it stands."""

    text: str
    """Its text after the token before it."""
    probability: float
    """In the model's own distribution, before temperature and the like."""
    alternatives: tuple[tuple[str, float], ...]
    """The most probable tokens in its place, with their probabilities."""


def require_probabilities(model: LocalModel | HostedModel) -> None:
    """Raises `Unsupported` for a model that cannot be looked into."""
    if isinstance(model, HostedModel):
        raise Unsupported(
            "a service does not tell what else it might have said",
            received=repr(model),
            expected="a model on this machine",
            fix="leave the probabilities out",
        )


@torch.inference_mode()
def look(model: LocalModel, prompt: Sequence[int], answer: Sequence[int]) -> list[Seen]:
    """What the model thought at each token of an answer. Raises `Unsupported` for a model without a tokenizer."""
    tokenizer = model.tokenizer
    if tokenizer is None:
        raise Unsupported("tokens have no text without a tokenizer", fix="copy tokenizer.json into the model's folder")
    if not answer:
        return []
    last, hidden = _read(model, prompt, answer)
    seen = []
    for token, probability, others in _chances(model, hidden, answer):
        context = tokenizer.decode([last])

        def text_of(other: int, last: int = last, context: str = context) -> str:
            return tokenizer.decode([last, other])[len(context) :] or tokenizer.token(other)

        alternatives = tuple((text_of(other), chance) for other, chance in others if other != token)
        seen.append(Seen(text=text_of(token), probability=probability, alternatives=alternatives))
        last = token
    return seen


def _read(model: LocalModel, prompt: Sequence[int], answer: Sequence[int]) -> tuple[int, Tensor]:
    """What stands before the answer, and the hidden states that its tokens are chosen by: [answer, D]."""
    network = model.network
    device = next(network.parameters()).device
    source = torch.tensor([list(prompt)], device=device)
    if model.architecture.kind.endswith("encoder-decoder"):
        before, state = [model.config.start_id], network.encode(source, None)
    else:
        before = list(prompt)
        state = begin_active(network, [None], len(before) + len(answer) - 1)
    read = torch.tensor([[*before, *answer[:-1]]], device=device)
    return before[-1], network(read, state=state).hidden[0, len(before) - 1 :]


def _chances(
    model: LocalModel, hidden: Tensor, answer: Sequence[int]
) -> Iterator[tuple[int, float, list[tuple[int, float]]]]:
    """Of each token of the answer its probability, and the most probable ones with theirs."""
    tokens = torch.tensor(answer, device=hidden.device)
    for part, chosen in zip(hidden.split(CHUNK_ROWS), tokens.split(CHUNK_ROWS), strict=True):
        probabilities = model.network.head(part).double().softmax(-1)
        own = probabilities.gather(-1, chosen[:, None])[:, 0]
        best = probabilities.topk(min(_ALTERNATIVES, probabilities.shape[-1]))
        for token, chance, ids, chances in zip(
            chosen.tolist(), own.tolist(), best.indices.tolist(), best.values.tolist(), strict=True
        ):
            yield token, chance, list(zip(ids, chances, strict=True))


def show(view: Console, seen: Sequence[Seen]) -> None:
    """The answer with each token in the colour of its probability, then a line for each with its alternatives."""
    for token in seen:
        write(view, token.text, style_of(token.probability))
    view.print()
    width = min(max((len(quoted(token.text)) for token in seen), default=0), _WIDEST_TOKEN)
    for token in seen:
        others = "  ".join(f"{quoted(text)} {_percent(chance)}" for text, chance in token.alternatives)
        line = f"  {_percent(token.probability):>6}  {quoted(token.text):<{width}}"
        write(view, line, style_of(token.probability))
        write(view, f"  instead: {others}\n" if others else "\n", "dim")
    surprise = -sum(math.log(max(token.probability, 1e-300)) for token in seen) / max(len(seen), 1)
    view.print(f"  {len(seen)} tokens, each chosen among {math.exp(surprise):.1f} on average (perplexity)", style="dim")


def style_of(probability: float) -> str:
    """The colour of a probability."""
    return next(style for least, style in _STYLES if probability >= least)


def quoted(text: str) -> str:
    """A token between quotes, its white space to be seen."""
    return "'" + visible(text).replace("\n", "\\n").replace("\t", "\\t") + "'"


def _percent(probability: float) -> str:
    return f"{100 * probability:.1f}%" if probability >= 0.001 else "<0.1%"
