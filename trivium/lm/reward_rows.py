"""What a reward model knows of its training, and the rows that it therefore reads: a prompt with its answer.

A row is scored as it was trained on, to the last token: the same form of a prompt, the same end token, the same
truncation. A reward model that is shown an answer without the end token it was trained with scores something else, and
nothing says so.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from torch import nn

from trivium.errors import CheckpointError, ConfigError, DataError
from trivium.lm.chat import check_messages
from trivium.lm.reading import at_most, head_rows, kind_of, longest_row
from trivium.lm.turns import PromptFormat, answered_ids
from trivium.templates import Message
from trivium.tokenizers import Tokenizer
from trivium.tokenizers.joined import Joined

OBJECTIVE = "reward"
"""What ``trivium.json`` calls the objective of a model that scores answers."""
Asked = str | Sequence[Message]
"""A prompt, or the conversation before the answer."""
LongRows = Literal["cut", "refuse"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class RewardFacts:
    """How a network that gives numbers is used as a reward; ``trivium.json`` holds it."""

    criteria: tuple[str, ...]
    """What the numbers are of, in the order of the head's outputs."""
    weights: tuple[float, ...]
    """By what each is multiplied in the one number of an answer, their sum."""
    bias: float = 0.0
    """What is taken from that sum..."""
    gain: float = 1.0
    """... and what the rest is multiplied by: reference answers then score 0 on average, with a spread of 1."""
    prompt_format: PromptFormat = "chat"
    """How a prompt is put."""
    context_tokens: int | None = None
    """Tokens of a row at most; None: as many as the network reads."""
    long_rows: LongRows = "cut"
    """What becomes of longer ones: the beginning of the prompt is cut off, or they are refused."""

    def __post_init__(self) -> None:
        if len(self.weights) != len(self.criteria) or not all(map(math.isfinite, self.weights)):
            raise ConfigError(
                "every criterion of a reward has one weight",
                received=f"criteria {', '.join(self.criteria)}, weights {self.weights}",
            )

    @classmethod
    def of(cls, described: Mapping[str, Any], labels: tuple[str, ...]) -> "RewardFacts":
        """From the content of ``trivium.json``; of models that others trained, whose ``labels`` alone are known, the
        mean of the numbers as they are. Raises ``CheckpointError`` for facts that cannot be."""
        told = described.get(OBJECTIVE)
        told = told if isinstance(told, dict) else {}
        weights = told.get("weights", [1 / len(labels)] * len(labels))
        numbers = [told.get("bias", 0.0), told.get("gain", 1.0)]
        context = described.get("context_tokens")
        shape, long_rows = told.get("prompt_format", "chat"), told.get("long_rows", "cut")
        known = (
            isinstance(weights, list)
            and len(weights) == len(labels)
            and all(type(number) in (int, float) and math.isfinite(number) for number in [*weights, *numbers])
            and (context is None or (type(context) is int and context > 0))
            and shape in get_args(PromptFormat)
            and long_rows in get_args(LongRows)
        )
        if not known:
            raise CheckpointError(
                "the reward model does not say how its scores are meant",
                received=f"reward {told}, context_tokens {context!r}, of {len(labels)} scores",
                fix="copy trivium.json from where the model was trained",
            )
        return cls(
            criteria=labels,
            weights=tuple(map(float, weights)),
            bias=float(numbers[0]),
            gain=float(numbers[1]),
            prompt_format=shape,
            context_tokens=context,
            long_rows=long_rows,
        )

    def to_json(self) -> dict[str, Any]:
        """What `of` reads back, with the labels of the head."""
        told = {name: value for name, value in dataclasses.asdict(self).items() if name in _TOLD}
        return {
            "objective": OBJECTIVE,
            "labels": list(self.criteria),
            "context_tokens": self.context_tokens,
            OBJECTIVE: {**told, "weights": list(self.weights)},
        }


def kept_facts(described: Mapping[str, Any]) -> dict[str, Any]:
    """What the ``trivium.json`` of a reward adapter says of its scores, which stays true when it is merged into its
    base; nothing of others."""
    if described.get("objective") != OBJECTIVE:
        return {}
    return {name: described[name] for name in ("objective", "labels", "context_tokens", OBJECTIVE) if name in described}


_TOLD = ("weights", "bias", "gain", "prompt_format", "long_rows")


def reward_rows(
    network: nn.Module, tokenizer: Tokenizer, asked: Sequence[Asked], answers: Sequence[str], facts: RewardFacts
) -> tuple[list[Joined], int]:
    """A row for each answer and its prompt, and how many of them were cut.

    A model that reads left to right reads the prompt as it does before it writes, and the answer with its end token. An
    encoder reads the two as a pair of texts, as its tokenizer joins them. Raises ``DataError`` for a prompt that is no
    conversation, and for rows that are too long where they are to be refused.
    """
    longest = at_most(facts.context_tokens, longest_row(network))
    conversations = [conversation_of(prompt) for prompt in asked]
    if kind_of(network) not in ("decoder", "recurrent"):
        pairs = [(_as_text(turns), answer) for turns, answer in zip(conversations, answers, strict=True)]
        whole = [len(row.ids) for row in tokenizer.encode_joined(pairs)]
        _check_length(whole, longest, facts)
        return head_rows(network, tokenizer, pairs, longest), _longer(whole, longest)
    rows = [
        [id for part in answered_ids(tokenizer, turns, answer, facts.prompt_format) for id in part]
        for turns, answer in zip(conversations, answers, strict=True)
    ]
    whole = list(map(len, rows))
    _check_length(whole, longest, facts)
    return [plain_row(row, longest) for row in rows], _longer(whole, longest)


def plain_row(ids: Sequence[int], longest: int | None = None) -> Joined:
    """A row of ids, the last ``longest`` of them."""
    kept = list(ids) if longest is None else list(ids[-longest:])
    return Joined(ids=kept, types=[0] * len(kept), sides=[0] * len(kept), offsets=[])


def conversation_of(asked: Asked) -> list[Message]:
    """The messages before the answer; a text is what a user says."""
    return [{"role": "user", "content": asked}] if isinstance(asked, str) else list(asked)


def _as_text(messages: Sequence[Message]) -> str:
    """A conversation as an encoder reads it: a single message as it stands, else a line a turn."""
    check_messages(messages)
    if len(messages) == 1:
        return messages[0]["content"]
    return "\n".join(f"{message['role'].capitalize()}: {message['content']}" for message in messages)


def _longer(lengths: Sequence[int], longest: int | None) -> int:
    return 0 if longest is None else sum(length > longest for length in lengths)


def _check_length(lengths: Sequence[int], longest: int | None, facts: RewardFacts) -> None:
    if facts.long_rows == "refuse" and _longer(lengths, longest):
        raise DataError(
            "a prompt with its answer is longer than the rows that this reward model was trained on",
            received=f"{max(lengths)} tokens",
            expected=f"at most {longest}",
            fix="give shorter ones, or train it with long_rows cut or more context_tokens",
        )
