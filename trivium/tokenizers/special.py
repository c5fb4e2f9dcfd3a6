"""The special tokens of a vocabulary: the ids that structure a sequence and that no user's text may produce."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SpecialTokens:
    """Which special tokens a new vocabulary gets; they take its first ids, in this order. None leaves one out.

    A byte-level vocabulary needs no ``unk``, and a character vocabulary uses the replacement character U+FFFD, an
    ordinary token that decodes to itself and so stays visible; every other kind must have one.
    """

    bos: str | None = "<|begin|>"
    """Stands before every document. It gives the first real token something to be predicted from."""
    eos: str | None = "<|end|>"
    """Stands after every document and every turn of a chat; generation stops on it."""
    pad: str | None = "<|pad|>"
    """Fills rows for programs that want it. Never equal to ``eos``: a loss that masks by pad id would hide the end."""
    unk: str | None = None
    """What text outside the vocabulary becomes."""
    cls: str | None = None
    """Stands before a text that is to be classified (BERT)."""
    sep: str | None = None
    """Stands after each text of a pair (BERT)."""
    mask: str | None = None
    """Stands where a masked model is to fill in."""
    roles: tuple[str, ...] = ("<|system|>", "<|user|>", "<|assistant|>")
    """Opens the turn of each speaker of a chat."""
    others: tuple[str, ...] = ()
    """Any further ones, such as the sentinels of T5: ``<extra_id_0>``, ``<extra_id_1>`` ..."""

    def __iter__(self) -> Iterator[str]:
        yield from self.named().values()
        yield from (*self.roles, *self.others)

    def __len__(self) -> int:
        return len(self.named()) + len(self.roles) + len(self.others)

    def named(self) -> dict[str, str]:
        """The tokens that `tokenizer_config.json` names: its key to the token, those left out left out."""
        names = ("bos", "eos", "pad", "unk", "cls", "sep", "mask")
        return {f"{name}_token": token for name in names if (token := getattr(self, name)) is not None}


WITH_UNKNOWN = SpecialTokens(unk="<unk>")
"""The default of the kinds that cannot spell every text."""

NEEDS_UNKNOWN = ("bpe", "wordpiece", "unigram", "word")
"""The kinds of vocabulary that cannot spell every text."""

BERT = SpecialTokens(bos=None, eos=None, pad="[PAD]", unk="[UNK]", cls="[CLS]", sep="[SEP]", mask="[MASK]", roles=())
"""The default of WordPiece: the five tokens of Devlin et al. 2018, padding first, so that its id is 0."""

SENTINELS = tuple(f"<extra_id_{number}>" for number in range(100))
"""What stands for a span that was left out, in the order of the spans (Raffel et al. 2020, section 3.1.4)."""


MODES = ("[NLU]", "[S2S]", "[NLG]")
"""What says in which way a text was spoilt (Tay et al. 2022, section 3.1): R, S and X."""

FILL_IN_THE_MIDDLE = ("<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>")
"""What stands before the beginning, the middle and the end of a text that is given in another order (Bavarian et al.
2022, section 3)."""

BLANKS = ("[sMASK]", "[gMASK]", "<|startofpiece|>", "<|endofpiece|>")
"""A blank of sentences, a blank up to the end of the text, and what begins and ends that which is written in a blank
(Du et al. 2022, section 2.1)."""


def for_understanding(kind: str) -> SpecialTokens:
    """What models need that read a whole text, fill in what is masked or write out what was left out: one vocabulary
    of ``kind`` for all of them, so that they can be compared."""
    unk = "<unk>" if kind in NEEDS_UNKNOWN else None
    others = (*SENTINELS, *FILL_IN_THE_MIDDLE, *BLANKS, *MODES)
    return SpecialTokens(unk=unk, cls="[CLS]", sep="[SEP]", mask="[MASK]", roles=(), others=others)
