"""One conversation on its way through a template: its text, its ids, and which of them the assistant wrote."""

import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

from trivium.errors import DataError
from trivium.templates.hiding import Hiding

# Templates write `<|{{ role }}|>`: a role is trusted as no other text is, so it must be one of those in use. The last
# ones are what published templates call the results of tools.
_ROLES = ("system", "user", "assistant", "tool", "developer", "function", "ipython", "observation")


@runtime_checkable
class _Template(Protocol):
    def render(self, messages: Sequence[Any], *, add_generation_prompt: bool = False, **variables: Any) -> str: ...


class Conversation:
    """The messages, with what people wrote hidden from the template's control tokens."""

    def __init__(self, template: _Template, messages: Sequence[Mapping[str, Any]], tokenizer: Any):
        """``tokenizer`` is a `trivium.templates.chat.Vocabulary`. Raises `DataError` for a role that is none."""
        self._template = template
        self._tokenizer = tokenizer
        self._hiding = Hiding(tokenizer.special_tokens)
        self._messages = [self._hidden(message) for message in messages]
        self._folded: bool | None = None
        tokens = {"bos_token": tokenizer.bos_id, "eos_token": tokenizer.eos_id}
        self._names = {name: tokenizer.token(i) if i is not None else "" for name, i in tokens.items()}

    def ids(self, *, add_generation_prompt: bool) -> list[int]:
        """The ids of the whole conversation."""
        return self._with_one_bos(self._encode(self._text(len(self._messages), asked=add_generation_prompt)))[0]

    def example(self, answers: Literal["last", "all"], *, marked: bool) -> tuple[list[int], list[bool]]:
        """Ids, and True for those that the assistant wrote. ``marked``: the template may mark them itself."""
        text, spans, decided = self._answers(answers, marked=marked)
        text = text[: spans[-1][1]]  # a line end after the last end token is nothing to learn from
        ids, places = self._encode_cut(text, [place for span in spans for place in span])
        ids, shift = self._with_one_bos(ids)
        trained = [False] * len(ids)
        for begin, end in zip(places[::2], places[1::2], strict=True):
            trained[begin + shift : end + shift] = [True] * (end - begin)
        special = set(self._tokenizer.special_tokens.values())
        if not decided and ids[-1] not in special and self._tokenizer.eos_id is not None:
            return [*ids, self._tokenizer.eos_id], [*trained, True]
        return ids, trained

    def _hidden(self, message: Mapping[str, Any]) -> dict[str, Any]:
        role = message.get("role")
        if role is not None and role not in _ROLES:
            raise DataError(
                "the roles are system, user and assistant, and tool for what a program answered",
                received=f"{role!r}"[:200],
                expected=", ".join(_ROLES),
                fix="correct the role",
            )
        try:
            hidden = self._hiding.hide({name: value for name, value in message.items() if name != "role"})
        except RecursionError as error:
            raise DataError("a message is nested too deeply", fix="leave out what no template reads") from error
        return hidden if role is None else {"role": role, **hidden}

    def _text(self, count: int, *, asked: bool, **variables: Any) -> str:
        """The text of the first ``count`` messages; ``asked``: and of the opening of an answer."""

        def rendered(messages: Sequence[Any]) -> str:
            return self._template.render(messages, add_generation_prompt=asked, **self._names, **variables)

        messages = self._messages[:count]
        together = _with_system_in_the_first_turn(messages)
        if together is None or self._folded is False:
            return rendered(messages)
        if self._folded:
            return rendered(together)
        # The first rendering decides for the conversation.
        system = messages[0]["content"].strip()
        try:
            text, refusal = rendered(messages), None
        except DataError as error:
            text, refusal = "", error
        self._folded = False
        if refusal is None and system in text:
            return text
        try:
            folded = rendered(together)
        except DataError:
            folded = ""
        if refusal is not None and not folded:
            raise refusal
        self._folded = system in folded
        return folded if self._folded else text

    # Which characters the assistant wrote -----------------------------------------------------------------------

    def _answers(self, answers: str, *, marked: bool) -> tuple[str, list[tuple[int, int]], bool]:
        """The whole text, where in it the answers stand that are trained on, and whether the template said so."""
        count = len(self._messages)
        whole, spans = self._marked_text(count) if marked else (self._text(count, asked=False), [])
        turns = [place for place, message in enumerate(self._messages) if message.get("role") == "assistant"]
        chosen = turns if answers == "all" else turns[-1:]
        begins = [self._begin(turn, whole) for turn in chosen]
        if spans:
            return whole, [span for span in spans if span[0] >= begins[0]] or spans[-1:], True
        ends = [self._end(turn, begin, whole) for turn, begin in zip(chosen, begins, strict=True)]
        return whole, list(zip(begins, ends, strict=True)), False

    def _begin(self, turn: int, whole: str) -> int:
        """Where the answer that is message ``turn`` begins: where its generation prompt ends."""
        prompt = self._text(turn, asked=True)
        if not whole.startswith(prompt):
            raise DataError(
                "the chat template writes answers differently from how it asks for them",
                received="a conversation whose text does not begin with that of its prompt",
                fix="train on the last answer only, or use a template whose generation prompt is the beginning of "
                "an assistant's turn",
            )
        return len(prompt)

    def _end(self, turn: int, begin: int, whole: str) -> int:
        """Where it ends: behind its last special token, or where the text goes on as it would after any answer."""
        written = whole
        if turn + 1 < len(self._messages):
            written = whole[: _shared(whole, self._text(turn + 1, asked=False))]
        ends = [match.end() for match in self._hiding.special.finditer(written, begin)]
        return ends[-1] if ends else len(written)

    def _marked_text(self, count: int) -> tuple[str, list[tuple[int, int]]]:
        """The text, and what stands in it between ``{% generation %}`` and ``{% endgeneration %}``."""
        key = secrets.token_hex(8)
        marks = (f"\ue002{key}", f"\ue003{key}")
        text = self._text(count, asked=False, generation_marks=marks)
        pieces = re.split(f"[\ue002\ue003]{key}", text)
        places = [0]
        for piece in pieces:
            places.append(places[-1] + len(piece))
        # Pieces 1, 3, 5, ... stand between marks.
        return "".join(pieces), [(places[n], places[n + 1]) for n in range(1, len(pieces) - 1, 2)]

    # Text to ids -------------------------------------------------------------------------------------------------

    def _encode(self, text: str) -> list[int]:
        """The ids of a rendered text: special tokens as such, what people wrote as plain text."""
        if not self._hiding.used:
            return self._tokenizer.encode(text, special=True)
        ids: list[int] = []
        for people_wrote, part in self._hiding.parts(text):
            ids += self._tokenizer.encode(part, special=not people_wrote)
        return ids

    def _encode_cut(self, text: str, places: Sequence[int]) -> tuple[list[int], list[int]]:
        """The ids of ``text``, and how many of them stand before each of ``places`` (ascending).

        Where a token of the whole text would reach across a place, such as two line ends of which the template wrote
        one and the assistant the other, the text is encoded in parts: a model that is asked writes its answer after
        the ids of the prompt alone.
        """
        whole = self._encode(text)
        before = [whole if place == len(text) else self._encode(text[:place]) for place in places]
        if all(whole[: len(ids)] == ids for ids in before):
            return whole, [len(ids) for ids in before]
        ids, counts = [], []
        for begin, end in zip([0, *places], [*places, len(text)], strict=True):
            ids += self._encode(text[begin:end]) if begin < end else []
            counts.append(len(ids))
        return ids, counts[:-1]

    def _with_one_bos(self, ids: list[int]) -> tuple[list[int], int]:
        """``ids`` with one BOS before them, where the template or the tokenizer's file writes any; and the shift."""
        bos = self._tokenizer.bos_id
        if bos is None:
            return ids, 0
        written = next((place for place, i in enumerate(ids) if i != bos), len(ids))
        if written == 0 and bos not in self._tokenizer.prefix_ids:
            return ids, 0
        if written > 1 and bos == self._tokenizer.eos_id:
            return ids, 0  # the second ends an empty text
        return [bos, *ids[written:]], 1 - written


def _with_system_in_the_first_turn(messages: Sequence[Mapping[str, Any]]) -> list[Any] | None:
    """The messages with the system's text before the user's; None where there is nothing to put together."""
    roles = [message.get("role") for message in messages[:2]]
    if roles != ["system", "user"] or not all(isinstance(message.get("content"), str) for message in messages[:2]):
        return None
    system, user = messages[0], messages[1]
    return [{**user, "content": f"{system['content']}\n\n{user['content']}"}, *messages[2:]]


def _shared(text: str, other: str) -> int:
    """The number of characters that both begin with."""
    if text.startswith(other):
        return len(other)
    differing = (place for place, (a, b) in enumerate(zip(text, other, strict=False)) if a != b)
    return next(differing, min(len(text), len(other)))
