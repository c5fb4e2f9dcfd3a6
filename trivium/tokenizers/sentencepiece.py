"""SentencePiece's model files (`spiece.model`, `tokenizer.model`): T5, ALBERT, XLNet, Llama 1 and 2, Gemma.

Kudo and Richardson 2018. The pipeline is put together from parts of `tokenizers` so that ids are those of the
`sentencepiece` program: normalise by the compiled rules, tidy spaces, put ``▁`` for each space, cut by Unigram or BPE.
"""

from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from trivium.errors import Unsupported
from trivium.tokenizers import sentencepiece_proto as proto
from trivium.tokenizers.files import CONFIG, damaged, read_bytes, read_config
from trivium.tokenizers.metaspace import MARKER
from trivium.tokenizers.sentencepiece_proto import SentencePieceModel

FILES = ("spiece.model", "tokenizer.model", "sentencepiece.bpe.model", "spm.model")
"""The names such a file goes by in a model's folder."""

_ROLES = ("bos_token", "eos_token", "pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
_T5_PIECES = 32_000
_T5_SENTINELS = 100


def from_model_file(path: Path) -> tuple[Tokenizer, dict[str, Any]]:
    """The backend and the configuration of a SentencePiece model.

    T5's hundred sentinels, which are not in its file, are added where `tokenizer_config.json` names T5's class, or
    where there is none and the file has T5's size and first pieces.
    """
    try:
        model = proto.parse(read_bytes(path))
    except (ValueError, UnicodeDecodeError) as error:
        raise damaged(path, str(error)) from error
    given = read_config(path.parent)
    sentinels = _sentinels(model, given)
    try:
        backend = Tokenizer(_model(model, path, sentinels))
    except Unsupported:
        raise
    except Exception as error:  # the Rust library raises plain Exception
        raise damaged(path, str(error)) from error
    backend.normalizer = _normalizer(model)
    if not any(MARKER in piece.text[1:] for piece in model.pieces if piece.type == proto.NORMAL):
        # No piece reaches beyond a word, so words can be cut one by one: the same pieces, sooner.
        backend.pre_tokenizer = pre_tokenizers.Split(MARKER, "merged_with_next")
    backend.decoder = _decoder(model)
    _add_tokens(backend, model, sentinels)
    _set_ends(backend, model, given, is_t5=bool(sentinels))
    kept = {key: given[key] for key in (*_ROLES, "chat_template") if given.get(key) is not None}
    extra = {"extra_special_tokens": sentinels} if sentinels else {}
    return backend, {**CONFIG, **_roles(model), **kept, **extra}


def _sentinels(model: SentencePieceModel, given: dict[str, Any]) -> list[str]:
    """``<extra_id_99>`` ... ``<extra_id_0>``, in the order of their ids (Raffel et al. 2020, section 3.1.4)."""
    first = [piece.text for piece in model.pieces[:3]]
    is_t5 = first == ["<pad>", "</s>", "<unk>"] and len(model.pieces) == _T5_PIECES
    if given.get("tokenizer_class"):
        is_t5 = given["tokenizer_class"].startswith("T5")
    if not is_t5:
        return []
    return [f"<extra_id_{i}>" for i in reversed(range(given.get("extra_ids", _T5_SENTINELS)))]


def _model(model: SentencePieceModel, path: Path, sentinels: list[str]) -> models.Model:
    if model.model_type == proto.UNIGRAM:
        vocabulary = [(piece.text, piece.score) for piece in model.pieces]
        vocabulary += [(token, 0.0) for token in sentinels]
        return models.Unigram(vocabulary, unk_id=model.unk_id, byte_fallback=model.byte_fallback)
    if model.model_type == proto.BPE:
        ids = {piece.text: id for id, piece in enumerate(model.pieces)}
        unknown = model.pieces[model.unk_id].text
        return models.BPE(ids, _merges(model), unk_token=unknown, fuse_unk=True, byte_fallback=model.byte_fallback)
    raise Unsupported(
        "this SentencePiece model is neither Unigram nor BPE",
        received=f"{path.name}: model type {model.model_type}",
        expected="a Unigram or BPE model",
        fix="train one of these kinds",
    )


def _merges(model: SentencePieceModel) -> list[tuple[str, str]]:
    """Every pair of pieces that joins to a piece, best score first: SentencePiece asks for the score of the join."""
    scores = {piece.text: piece.score for piece in model.pieces if piece.type == proto.NORMAL}
    pairs = []
    for text, score in scores.items():
        for cut in range(1, len(text)):
            left, right = text[:cut], text[cut:]
            if left in scores and right in scores:
                pairs.append((-score, len(pairs), left, right))
    return [(left, right) for _, _, left, right in sorted(pairs)]


def _normalizer(model: SentencePieceModel) -> normalizers.Normalizer:
    steps: list[normalizers.Normalizer] = []
    if model.charsmap:
        steps.append(normalizers.Precompiled(model.charsmap))
    if model.remove_extra_whitespaces:
        steps += [normalizers.Replace(Regex(" {2,}"), " "), normalizers.Replace(Regex(r"\A | \z"), "")]
    if model.add_dummy_prefix:
        steps.append(normalizers.Prepend(MARKER))
    return normalizers.Sequence([*steps, normalizers.Replace(" ", MARKER)])


def _decoder(model: SentencePieceModel) -> decoders.Decoder:
    steps: list[decoders.Decoder] = [decoders.Replace(MARKER, " ")]
    if model.byte_fallback:
        steps.append(decoders.ByteFallback())
    steps.append(decoders.Fuse())
    if model.add_dummy_prefix:
        steps.append(decoders.Strip(" ", 1, 0))
    return decoders.Sequence(steps)


def _add_tokens(backend: Tokenizer, model: SentencePieceModel, sentinels: list[str]) -> None:
    """Control pieces are special; user-defined ones are cut out of every text before the model sees it."""
    hidden = (proto.UNKNOWN, proto.CONTROL, proto.UNUSED)
    for piece in model.pieces:
        if piece.type in hidden:
            backend.add_special_tokens([AddedToken(piece.text, special=True, normalized=False)])
        elif piece.type == proto.USER_DEFINED:
            backend.add_tokens([AddedToken(piece.text, special=False, normalized=False)])
    backend.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in sentinels])


def _roles(model: SentencePieceModel) -> dict[str, str]:
    ids = {"bos": model.bos_id, "eos": model.eos_id, "pad": model.pad_id, "unk": model.unk_id}
    return {f"{role}_token": model.pieces[id].text for role, id in ids.items() if 0 <= id < len(model.pieces)}


def _set_ends(backend: Tokenizer, model: SentencePieceModel, given: dict[str, Any], *, is_t5: bool) -> None:
    """What goes around a text that is read whole: </s> after it in T5, <s> before it in Llama."""
    llama = str(given.get("tokenizer_class", "")).startswith("Llama")
    pieces: list[str] = ["$A"]
    names = _roles(model)
    if given.get("add_bos_token", llama) and "bos_token" in names:
        pieces.insert(0, names["bos_token"])
    if given.get("add_eos_token", is_t5) and "eos_token" in names:
        pieces.append(names["eos_token"])
    ends = [(piece, backend.token_to_id(piece)) for piece in pieces if piece != "$A"]
    if ends:
        backend.post_processor = processors.TemplateProcessing(single=pieces, special_tokens=ends)
