"""What a ``generation_config.json`` says, in our words; the names are those that ``transformers`` 4 and 5 write.

What such a file asks for and this release has not is refused where it would change the answers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trivium.errors import ConfigError, Unsupported
from trivium.generation.constraints import Constraints

File = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Stated:
    """The settings in a file, None where it says nothing; the words are those of ``GenerationSettings``."""

    sampled: bool
    """Whether it asks for sampling; the fields from ``temperature`` to ``typical_p`` hold only then."""
    temperature: float | None
    top_k: int | None
    top_p: float | None
    min_p: float | None
    typical_p: float | None
    repetition_penalty: float | None
    frequency_penalty: float | None
    presence_penalty: float | None
    beams: int | None
    groups: int | None
    diversity_penalty: float | None
    length_penalty: float | None
    early_stopping: bool | None
    """As in ``Search``: a file that says nothing says False."""
    renormalise: bool
    """Of a beam search: ``renormalize_logits``, which the files of opus-mt ask for."""
    contrastive_alpha: float
    """Above 0 where the file asks for contrastive search, which takes ``top_k`` without sampling."""
    stop: tuple[str, ...]


def read(file: File) -> Stated:
    """Reads everything but the constraints; ``ConfigError`` where a value is of the wrong kind."""
    sampled = _flag(file, "do_sample")
    beams = _whole(file, "num_beams")
    alpha = 0.0 if sampled or (beams or 1) > 1 else _number(file, "penalty_alpha") or 0.0
    return Stated(
        sampled=sampled,
        temperature=_number(file, "temperature") if sampled else None,
        # 0 is how some files say "all": a top_k of 0 is refused as an argument only.
        top_k=(_whole(file, "top_k") or None) if sampled or alpha else None,
        top_p=_number(file, "top_p") if sampled else None,
        min_p=_number(file, "min_p") if sampled else None,
        typical_p=_number(file, "typical_p") if sampled else None,
        repetition_penalty=_number(file, "repetition_penalty"),
        frequency_penalty=_number(file, "frequency_penalty"),
        presence_penalty=_number(file, "presence_penalty"),
        beams=beams,
        groups=_whole(file, "num_beam_groups"),
        diversity_penalty=_number(file, "diversity_penalty"),
        length_penalty=_number(file, "length_penalty"),
        early_stopping=None if file.get("early_stopping") == "never" else _flag(file, "early_stopping"),
        renormalise=_flag(file, "renormalize_logits"),
        contrastive_alpha=alpha,
        stop=_texts(file, "stop_strings"),
    )


def constraints(
    file: File, *, max_new_tokens: int, eos_ids: Sequence[int], encoder_decoder: bool = False
) -> Constraints:
    """The constraints of a file.

    ``transformers`` counts ``min_length`` and places ``forced_bos_token_id`` from the beginning of what the decoder
    reads. Of an encoder-decoder that is the start token; of any other model it is the prompt, so that what they mean
    changes from one to the next: there they raise ``Unsupported``. A least length beyond ``max_new_tokens`` is cut to
    it, since a caller who asks for less knows nothing of the file.
    """
    forced = token_ids(_ids(file, "forced_bos_token_id"))
    least = _whole(file, "min_new_tokens") or 0
    total = _whole(file, "min_length") or 0
    if not least and total > 1 and encoder_decoder:
        least = total - 1
    if not encoder_decoder and (forced or (not least and total > 1)):
        name = "forced_bos_token_id" if forced else "min_length"
        raise Unsupported(
            f"{name} counts from the beginning of the prompt, which this release does not",
            received=f"{name}={file[name]} in generation_config.json of a model without an encoder",
            expected="constraints that count from the beginning of the answer",
            fix="pass constraints=Constraints(min_new_tokens=..., forced=...) in the call",
        )
    ends = {(end,) for end in eos_ids}
    banned = [tuple(word) for word in _rows(file, "bad_words_ids")]
    never = token_ids(_ids(file, "suppress_tokens"))
    return Constraints(
        min_new_tokens=max(0, min(least, max_new_tokens)),
        # As in transformers, an end token among the bad words is no bad word.
        banned=(*(word for word in banned if word not in ends), *((token,) for token in never)),
        banned_first=token_ids(_ids(file, "begin_suppress_tokens")),
        no_repeat_ngram=_whole(file, "no_repeat_ngram_size") or 0,
        forced=forced,
        forced_last=token_ids(_ids(file, "forced_eos_token_id")),
    )


_OLD_NAMES = (
    *("bad_words_ids", "begin_suppress_tokens", "diversity_penalty", "do_sample", "early_stopping", "eos_token_id"),
    *("forced_bos_token_id", "forced_eos_token_id", "frequency_penalty", "length_penalty", "min_length", "min_p"),
    *(
        "no_repeat_ngram_size",
        "num_beam_groups",
        "num_beams",
        "penalty_alpha",
        "presence_penalty",
        "repetition_penalty",
    ),
    *("renormalize_logits", "suppress_tokens", "temperature", "top_k", "top_p", "typical_p"),
)


def from_model_config(config: File) -> dict[str, Any]:
    """What a ``config.json`` says of generation, as it did before ``transformers`` 4.26 wrote a file of its own: the
    beams and forbidden pieces of the first opus-mt folders."""
    return {name: config[name] for name in _OLD_NAMES if config.get(name) is not None}


# What changes the answers and is not here, with the values that change nothing.
_ALWAYS: dict[str, tuple[object, ...]] = {
    "constraints": (None, []),
    "dola_layers": (None,),
    "encoder_no_repeat_ngram_size": (None, 0),
    "encoder_repetition_penalty": (None, 1),
    "exponential_decay_length_penalty": (None,),
    "force_words_ids": (None, []),
    "guidance_scale": (None, 1),
    "max_time": (None,),
    "sequence_bias": (None, [], {}),
    "token_healing": (None, False),
    "watermarking_config": (None,),
}
_SAMPLED: dict[str, tuple[object, ...]] = {
    "epsilon_cutoff": (None, 0, 1),
    "eta_cutoff": (None, 0, 1),
    "top_h": (None,),
}


def refuse_unsupported(file: File, *, sampled: bool) -> None:
    """Raises ``Unsupported`` where the file holds what would change answers made in this way, and we do not have."""
    looked_at = _ALWAYS | (_SAMPLED if sampled else {})
    for name, neutral in looked_at.items():
        if file.get(name) not in neutral:
            raise Unsupported(
                f"{name} is not supported by this release",
                received=f"{name}={file[name]} in generation_config.json",
                expected=f"{name} absent, or one of {', '.join(map(repr, neutral))}",
                fix=f"take {name} out of the file to generate without it",
            )


def token_ids(value: int | Sequence[int] | None) -> tuple[int, ...]:
    """``eos_token_id`` as files write it (nothing, one id or several) as a tuple."""
    if value is None:
        return ()
    return (value,) if isinstance(value, int) else tuple(value)


def _flag(file: File, name: str) -> bool:
    value = file.get(name)
    if value is not None and not isinstance(value, bool):
        raise _unusable(name, value, "true or false" + (' or "never"' if name == "early_stopping" else ""))
    return bool(value)


def _whole(file: File, name: str) -> int | None:
    value = file.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise _unusable(name, value, "a whole number")
    return value


def _number(file: File, name: str) -> float | None:
    value = file.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise _unusable(name, value, "a number")
    return value


def _ids(file: File, name: str) -> int | list[int] | None:
    value = file.get(name)
    if not (value is None or _is_id(value) or (isinstance(value, list) and all(map(_is_id, value)))):
        raise _unusable(name, value, "an id or a list of ids")
    return value


def _rows(file: File, name: str) -> list[list[int]]:
    value = file.get(name) or []
    if not isinstance(value, list) or not all(isinstance(row, list) and all(map(_is_id, row)) for row in value):
        raise _unusable(name, value, "a list of lists of ids")
    return value


def _texts(file: File, name: str) -> tuple[str, ...]:
    value = file.get(name) or []
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise _unusable(name, value, "a text or a list of texts")
    return tuple(texts)


def _is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _unusable(name: str, value: object, expected: str) -> ConfigError:
    return ConfigError(
        f"generation_config.json holds a {name} that cannot be used",
        received=repr(value),
        expected=expected,
        fix=f"correct {name} in the model's generation_config.json",
    )
