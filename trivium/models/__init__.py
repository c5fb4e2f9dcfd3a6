"""One file per architecture, and the table of them in the order of history.

The table is data: nothing here imports torch, and a model's file is imported when it is asked for.
"""

import difflib
import importlib
from dataclasses import dataclass
from typing import Any, Literal

from trivium.errors import Unsupported

Kind = Literal[
    "recurrent",
    "bidirectional recurrent",
    "recurrent encoder-decoder",
    "classifier",
    "encoder",
    "decoder",
    "encoder-decoder",
]


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """One row of the table: where an architecture comes from and where it is found here."""

    name: str
    """The name people use, also the file's."""
    year: int
    """Year of the paper."""
    paper: str
    """Authors, year and title."""
    developer: str
    """Who published it."""
    kind: Kind
    """What it is built as."""
    module: str
    """Module that holds it."""
    model: str
    """Class of the network."""
    config: str
    """Class of its configuration."""
    model_types: tuple[str, ...]
    """Values of ``model_type`` in a ``config.json`` that mean it; the first is the one written."""

    def model_class(self) -> Any:
        """The network's class; imports its file."""
        return getattr(importlib.import_module(self.module), self.model)

    def config_class(self) -> Any:
        """The configuration's class; imports its file."""
        return getattr(importlib.import_module(self.module), self.config)

    def weight_map(self, config: Any) -> Any:
        """The map between our tensor names and Hugging Face's for this configuration."""
        return importlib.import_module(self.module).weight_map(config)

    def sizes(self) -> dict[str, Any]:
        """Published configurations by name; empty where the file defines none."""
        return dict(vars(importlib.import_module(self.module)).get("SIZES", {}))


ARCHITECTURES: tuple[Architecture, ...] = (
    Architecture(
        name="rnn",
        year=1990,
        paper="Elman 1990, Finding Structure in Time; as a language model Mikolov et al. 2010",
        developer="University of California, San Diego; Brno University of Technology",
        kind="recurrent",
        module="trivium.models.rnn",
        model="RNN",
        config="RNNConfig",
        model_types=("trivium-rnn",),
    ),
    Architecture(
        name="lstm",
        year=1997,
        paper="Hochreiter and Schmidhuber 1997, Long Short-Term Memory; as a language model Zaremba et al. 2014",
        developer="TU Munich, IDSIA",
        kind="recurrent",
        module="trivium.models.lstm",
        model="LSTM",
        config="LSTMConfig",
        model_types=("trivium-lstm",),
    ),
    Architecture(
        name="gru",
        year=2014,
        paper="Cho et al. 2014, Learning Phrase Representations using RNN Encoder-Decoder; Chung et al. 2014",
        developer="Université de Montréal",
        kind="recurrent",
        module="trivium.models.gru",
        model="GRU",
        config="GRUConfig",
        model_types=("trivium-gru",),
    ),
    Architecture(
        name="cho",
        year=2014,
        paper="Cho et al. 2014, Learning Phrase Representations using RNN Encoder-Decoder",
        developer="Université de Montréal",
        kind="recurrent encoder-decoder",
        module="trivium.models.cho",
        model="Cho",
        config="ChoConfig",
        model_types=("trivium-cho",),
    ),
    Architecture(
        name="sutskever",
        year=2014,
        paper="Sutskever et al. 2014, Sequence to Sequence Learning with Neural Networks",
        developer="Google",
        kind="recurrent encoder-decoder",
        module="trivium.models.sutskever",
        model="Sutskever",
        config="SutskeverConfig",
        model_types=("trivium-sutskever",),
    ),
    Architecture(
        name="text_cnn",
        year=2014,
        paper="Kim 2014, Convolutional Neural Networks for Sentence Classification",
        developer="New York University",
        kind="classifier",
        module="trivium.models.text_cnn",
        model="TextCNN",
        config="TextCNNConfig",
        model_types=("trivium-text-cnn",),
    ),
    Architecture(
        name="bilstm",
        year=2015,
        paper="Huang et al. 2015, Bidirectional LSTM-CRF Models for Sequence Tagging; Graves and Schmidhuber 2005",
        developer="Baidu Research; IDSIA, TU Munich",
        kind="classifier",
        module="trivium.models.bilstm",
        model="BiLSTM",
        config="BiLSTMConfig",
        model_types=("trivium-bilstm",),
    ),
    Architecture(
        name="seq2seq",
        year=2015,
        paper="Bahdanau et al. 2015, Neural Machine Translation by Jointly Learning to Align and Translate",
        developer="Jacobs University Bremen, Université de Montréal",
        kind="recurrent encoder-decoder",
        module="trivium.models.seq2seq",
        model="Seq2Seq",
        config="Seq2SeqConfig",
        model_types=("trivium-seq2seq",),
    ),
    Architecture(
        name="luong",
        year=2015,
        paper="Luong et al. 2015, Effective Approaches to Attention-based Neural Machine Translation",
        developer="Stanford University",
        kind="recurrent encoder-decoder",
        module="trivium.models.luong",
        model="Luong",
        config="LuongConfig",
        model_types=("trivium-luong",),
    ),
    Architecture(
        name="transformer",
        year=2017,
        paper="Vaswani et al. 2017, Attention Is All You Need; Marian: Junczys-Dowmunt et al. 2018",
        developer="Google; Adam Mickiewicz University, University of Edinburgh",
        kind="encoder-decoder",
        module="trivium.models.transformer",
        model="Transformer",
        config="TransformerConfig",
        model_types=("marian", "trivium-transformer"),
    ),
    Architecture(
        name="awd_lstm",
        year=2018,
        paper="Merity et al. 2018, Regularizing and Optimizing LSTM Language Models",
        developer="Salesforce Research",
        kind="recurrent",
        module="trivium.models.awd_lstm",
        model="AWDLSTM",
        config="AWDLSTMConfig",
        model_types=("trivium-awd-lstm",),
    ),
    Architecture(
        name="bilm",
        year=2018,
        paper="Peters et al. 2018, Deep contextualized word representations (ELMo)",
        developer="Allen Institute for AI, University of Washington",
        kind="bidirectional recurrent",
        module="trivium.models.bilm",
        model="BiLM",
        config="BiLMConfig",
        model_types=("trivium-bilm",),
    ),
    Architecture(
        name="bert",
        year=2018,
        paper="Devlin et al. 2018, BERT: Pre-training of Deep Bidirectional Transformers",
        developer="Google",
        kind="encoder",
        module="trivium.models.bert",
        model="Bert",
        config="BertConfig",
        model_types=("bert",),
    ),
    Architecture(
        name="gpt2",
        year=2019,
        paper="Radford et al. 2019, Language Models are Unsupervised Multitask Learners",
        developer="OpenAI",
        kind="decoder",
        module="trivium.models.gpt2",
        model="GPT2",
        config="GPT2Config",
        model_types=("gpt2",),
    ),
    Architecture(
        name="xlnet",
        year=2019,
        paper="Yang et al. 2019, XLNet: Generalized Autoregressive Pretraining for Language Understanding",
        developer="Carnegie Mellon University, Google",
        kind="encoder",
        module="trivium.models.xlnet",
        model="XLNet",
        config="XLNetConfig",
        model_types=("xlnet",),
    ),
    Architecture(
        name="ernie",
        year=2019,
        paper="Sun et al. 2019, ERNIE: Enhanced Representation through Knowledge Integration",
        developer="Baidu",
        kind="encoder",
        module="trivium.models.ernie",
        model="Ernie",
        config="ErnieConfig",
        model_types=("ernie",),
    ),
    Architecture(
        name="roberta",
        year=2019,
        paper="Liu et al. 2019, RoBERTa: A Robustly Optimized BERT Pretraining Approach",
        developer="Facebook AI, University of Washington",
        kind="encoder",
        module="trivium.models.roberta",
        model="Roberta",
        config="RobertaConfig",
        model_types=("roberta", "xlm-roberta", "camembert"),
    ),
    Architecture(
        name="t5",
        year=2019,
        paper="Raffel et al. 2019, Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer",
        developer="Google",
        kind="encoder-decoder",
        module="trivium.models.t5",
        model="T5",
        config="T5Config",
        model_types=("t5", "mt5"),
    ),
    Architecture(
        name="bart",
        year=2019,
        paper="Lewis et al. 2020, BART: Denoising Sequence-to-Sequence Pre-training for Natural Language Generation",
        developer="Facebook AI",
        kind="encoder-decoder",
        module="trivium.models.bart",
        model="Bart",
        config="BartConfig",
        model_types=("bart",),
    ),
    Architecture(
        name="electra",
        year=2020,
        paper="Clark et al. 2020, ELECTRA: Pre-training Text Encoders as Discriminators Rather Than Generators",
        developer="Stanford University, Google",
        kind="encoder",
        module="trivium.models.electra",
        model="Electra",
        config="ElectraConfig",
        model_types=("electra",),
    ),
    Architecture(
        name="glm",
        year=2021,
        paper="Du et al. 2022, GLM: General Language Model Pretraining with Autoregressive Blank Infilling",
        developer="Tsinghua University, Beijing Academy of Artificial Intelligence",
        kind="encoder-decoder",
        module="trivium.models.glm",
        model="GLM",
        config="GLMConfig",
        model_types=("glm",),
    ),
    Architecture(
        name="llama",
        year=2023,
        paper="Touvron et al. 2023, LLaMA: Open and Efficient Foundation Language Models",
        developer="Meta",
        kind="decoder",
        module="trivium.models.llama",
        model="Llama",
        config="LlamaConfig",
        model_types=("llama",),
    ),
    Architecture(
        name="modernbert",
        year=2024,
        paper="Warner et al. 2024, Smarter, Better, Faster, Longer: A Modern Bidirectional Encoder",
        developer="Answer.AI, LightOn",
        kind="encoder",
        module="trivium.models.modernbert",
        model="ModernBert",
        config="ModernBertConfig",
        model_types=("modernbert",),
    ),
)


def architecture(name: str) -> Architecture:
    """The row called ``name``, or whose ``model_types`` hold it; ``Unsupported`` with what exists otherwise."""
    for row in ARCHITECTURES:
        if name == row.name or name in row.model_types:
            return row
    known = [alias for row in ARCHITECTURES for alias in (row.name, *row.model_types)]
    close = difflib.get_close_matches(name, known, n=1)
    raise Unsupported(
        f"no architecture is called {name!r}",
        received=name,
        expected=", ".join(row.name for row in ARCHITECTURES),
        fix=f"did you mean {close[0]!r}?" if close else "`trivium models` lists what there is",
    )
