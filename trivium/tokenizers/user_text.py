"""Special tokens never come from a user's text, whatever the vocabulary's model would make of it.

Skipping the special tokens when text is searched for added tokens is not enough. They stand in the model's vocabulary
too, and there the model itself can find them: Unigram and word-level models look pieces up as they are, so that T5
reads ``</s>`` in a web page as the end of its input, and WordPiece and byte-pair encoding find them when the words are
cut so. In the copy made here they have names that no text has.
"""

import json
from typing import Any

import tokenizers

HIDDEN = "\ufdd0"
"""A noncharacter (Unicode 23.7: never for interchange) before the name of a special token that text cannot spell."""
INSTEAD = "\ufdd1"
"""The noncharacter that `HIDDEN` is read as when a text holds it: no vocabulary has either."""


def for_user_text(backend: tokenizers.Tokenizer) -> tokenizers.Tokenizer:
    """A second backend, for users' text: switching the first would change what other threads are encoding.

    It is given texts as ``readable`` makes them.
    """
    source = backend.to_str()
    hidden = without_special(json.loads(source))
    plain = tokenizers.Tokenizer.from_str(source if hidden is None else json.dumps(hidden))
    plain.encode_special_tokens = True
    return plain


def without_special(description: dict[str, Any]) -> dict[str, Any] | None:
    """``tokenizer.json`` for user text: the same ids, its special tokens out of reach of the model.

    None where the model cannot reach them anyway. The copy must still be told to skip special tokens when it looks
    for added tokens (``encode_special_tokens``).
    """
    model = description["model"]
    special = {token["content"] for token in description.get("added_tokens") or [] if token["special"]}
    reachable = special & _reachable(model)
    if not reachable:
        return None
    name = {token: HIDDEN + token for token in reachable}
    hidden = dict(model)
    if isinstance(model["vocab"], dict):
        hidden["vocab"] = {name.get(piece, piece): id for piece, id in model["vocab"].items()}
    else:
        hidden["vocab"] = [[name.get(piece, piece), score] for piece, score in model["vocab"]]
    if "merges" in model:
        hidden["merges"] = [merge for merge in model["merges"] if not reachable & _pieces_of(merge)]
    if model.get("unk_token") in name:
        hidden["unk_token"] = name[model["unk_token"]]
    # The added tokens are renamed alike, or they would get new ids.
    added = [
        {**token, "content": name.get(token["content"], token["content"])} for token in description["added_tokens"]
    ]
    return {**description, "model": hidden, "added_tokens": added, "post_processor": None}


def readable(text: str) -> str:
    """``text`` for the copy: without the noncharacter that its names begin with."""
    return text.replace(HIDDEN, INSTEAD) if HIDDEN in text else text


def _reachable(model: dict[str, Any]) -> set[str]:
    """The pieces that a model can make of text."""
    if model["type"] != "BPE":
        return set(model["vocab"] if isinstance(model["vocab"], dict) else (piece for piece, _ in model["vocab"]))
    if model.get("ignore_merges"):
        return set(model["vocab"])
    made = {piece for merge in model["merges"] for piece in _pieces_of(merge)}
    return made | {piece for piece in model["vocab"] if len(piece) == 1}


def _pieces_of(merge: str | list[str]) -> set[str]:
    left, right = pair_of(merge)
    return {left, right, left + right}


def pair_of(merge: str | list[str]) -> tuple[str, str]:
    """A merge as the file spells it: "a b" until 2024, ["a", "b"] since."""
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return left, right
