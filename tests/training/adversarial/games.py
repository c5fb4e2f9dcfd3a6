"""The six games on a vocabulary of seven, for tests; one of them on pairs too."""

from typing import Any

import torch
from torch import nn

from trivium.data.batches import CausalBatch, Seq2SeqBatch
from trivium.models.bart import Bart, BartConfig
from trivium.models.cho import Cho, ChoConfig
from trivium.models.gpt2 import GPT2, GPT2Config
from trivium.models.leakgan import LeakGAN, LeakGANConfig
from trivium.models.lstm import LSTM, LSTMConfig
from trivium.models.luong import Luong, LuongConfig
from trivium.models.relational_memory import RelationalMemory, RelationalMemoryConfig
from trivium.models.relgan_discriminator import RelGANDiscriminator, RelGANDiscriminatorConfig
from trivium.models.seq2seq import Seq2Seq, Seq2SeqConfig
from trivium.models.sutskever import Sutskever, SutskeverConfig
from trivium.models.t5 import T5, T5Config
from trivium.models.text_cnn import TextCNN, TextCNNConfig
from trivium.models.transformer import Transformer, TransformerConfig
from trivium.objectives.coldgan import ColdConfig
from trivium.objectives.leakgan import LeakGANTraining
from trivium.objectives.maligan import MaliGANConfig
from trivium.objectives.relgan import RelGANConfig
from trivium.objectives.seqgan import SeqGANConfig
from trivium.objectives.textgan import TextGANConfig
from trivium.training.adversarial.coldgan import ColdGAN
from trivium.training.adversarial.game import Game
from trivium.training.adversarial.leakgan import LeakGame
from trivium.training.adversarial.maligan import MaliGAN
from trivium.training.adversarial.relgan import RelGAN
from trivium.training.adversarial.seqgan import SeqGAN
from trivium.training.adversarial.textgan import CodeReader, TextGAN

V = 7
METHODS = ("seqgan", "maligan", "textgan", "leakgan", "relgan", "coldgan")
SEPARATOR = V
"""Of the game on pairs, whose discriminator knows it as its eighth piece."""
_STACKS = {"width": 16, "layers": 1, "heads": 2, "inner_width": 24, "vocabulary_size": V}
_RECURRENT = {"width": 12, "embedding_width": 8, "vocabulary_size": V}
ENCODER_DECODERS = {
    "t5": lambda: T5(T5Config(**_STACKS, head_width=8, buckets=8)),
    "bart": lambda: Bart(BartConfig(**_STACKS, context_tokens=12, start_id=0)),
    "transformer": lambda: Transformer(TransformerConfig(**_STACKS)),
    "seq2seq": lambda: Seq2Seq(Seq2SeqConfig(**_RECURRENT, attention_width=12)),
    "luong": lambda: Luong(LuongConfig(**_RECURRENT)),
    "cho": lambda: Cho(ChoConfig(**_RECURRENT, readout_width=6)),
    "sutskever": lambda: Sutskever(SutskeverConfig(**_RECURRENT)),
}


def generator(kind: str = "lstm") -> nn.Module:
    torch.manual_seed(3)
    if kind in ENCODER_DECODERS:
        return ENCODER_DECODERS[kind]()
    if kind == "gpt2":
        return GPT2(GPT2Config(vocabulary_size=V, width=16, layers=2, heads=2, context_tokens=12))
    if kind == "leakgan":
        shape = {"windows": (1, 2, 3), "filters": (8, 8, 8), "leak_width": 16}
        return LeakGAN(LeakGANConfig(vocabulary_size=V, width=16, action_width=5, horizon=2, **shape))
    if kind == "relational_memory":
        return RelationalMemory(RelationalMemoryConfig(vocabulary_size=V, width=16, heads=2, embedding_width=8))
    return LSTM(LSTMConfig(vocabulary_size=V, width=16, layers=1, dropout=0.2, tied=False))


def classifier(dropout: float = 0.5, vocabulary_size: int = V) -> TextCNN:
    torch.manual_seed(4)
    windows = {"windows": (1, 2, 3), "filters": (8, 8, 8)}
    return TextCNN(TextCNNConfig(vocabulary_size=vocabulary_size, width=16, highway=True, dropout=dropout, **windows))


def relgan_discriminator(dropout: float = 0.25) -> RelGANDiscriminator:
    torch.manual_seed(4)
    shape = {"width": 8, "representations": 4, "windows": (1, 2), "filters": 6, "inner_width": 8}
    return RelGANDiscriminator(RelGANDiscriminatorConfig(vocabulary_size=V, dropout=dropout, **shape))


def game(method: str, *, kind: str | None = None, dropout: float = 0.5, parts: int = 1, **options: Any) -> Game:
    """A game of `method`; `kind` is the generator's."""
    end_id = options.pop("end_id", None)
    given = {"end_id": end_id, "parts": parts}
    if method == "relgan":
        own = generator(kind or "relational_memory")
        return RelGAN(own, relgan_discriminator(dropout), RelGANConfig(**{"annealing_steps": 5, **options}), **given)
    if method == "leakgan":
        made = generator("leakgan")
        assert isinstance(made, LeakGAN)
        return LeakGame(made, classifier(dropout), LeakGANTraining(**{"rollouts": 2, **options}), **given)
    own, judge = generator(kind or "lstm"), classifier(dropout)
    if method == "textgan":
        torch.manual_seed(5)
        return TextGAN(own, CodeReader(judge, 16), TextGANConfig(**options), **given)
    if method == "maligan":
        return MaliGAN(own, judge, MaliGANConfig(**{"baseline_steps": 2, **options}), **given)
    if kind in ENCODER_DECODERS:
        cold = ColdConfig(**{"temperature": 0.5, "epsilon": 0.3, **options})
        return ColdGAN(own, classifier(dropout, V + 1), cold, separator_id=SEPARATOR, **given)
    if method == "coldgan":
        return ColdGAN(own, judge, ColdConfig(**{"temperature": 0.5, "epsilon": 0.3, **options}), **given)
    return SeqGAN(own, judge, SeqGANConfig(**{"rollouts": 3, **options}), **given)


def real(rows: int = 6, length: int = 5) -> CausalBatch:
    """Texts that count upwards, of unequal length, after the start token 0."""
    texts = (torch.randint(0, V, (rows, 1)) + torch.arange(length)) % V
    tokens = torch.cat([torch.zeros(rows, 1, dtype=torch.long), texts[:, :-1]], 1)
    lengths = torch.arange(rows) % 3 + length - 2
    mask = torch.arange(length) < lengths[:, None]
    return CausalBatch(tokens=tokens, targets=texts, mask=mask, lengths=lengths)


def pairs(rows: int = 6, length: int = 5) -> Seq2SeqBatch:
    """The texts of `real` for sources that count downwards to the text's first token, of unequal length as well; what
    stands beyond a length is any id."""
    texts = real(rows, length)
    source = (texts.targets[:, :1] + torch.arange(4).flip(0)) % V
    source_lengths = torch.arange(rows) % 4 + 1
    return Seq2SeqBatch(
        source=source,
        source_lengths=source_lengths,
        tokens=texts.tokens,
        targets=texts.targets,
        mask=texts.mask,
        lengths=texts.lengths,
    )
