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
    """The name people use, also the file's in this folder."""
    year: int
    """Year of the paper."""
    paper: str
    """Authors, year and title."""
    developer: str
    """Who published it."""
    kind: Kind
    """What it is built as."""
    model: str
    """Class of the network; that of its configuration is called the same with ``Config`` behind it."""
    model_types: tuple[str, ...]
    """Values of ``model_type`` in a ``config.json`` that mean it; the first is the one written."""

    def model_class(self) -> Any:
        """The network's class; imports its file."""
        return getattr(self._module(), self.model)

    def config_class(self) -> Any:
        """The configuration's class; imports its file."""
        return getattr(self._module(), f"{self.model}Config")

    def configuration(self, hf: dict[str, Any]) -> Any:
        """What a ``config.json`` describes: a network of this architecture, or its body under scores; see
        ``trivium.models.scored``."""
        scored = _file("scored")
        return scored.ScoredConfig.from_hf(hf) if scored.is_scored(self, hf) else self.config_class().from_hf(hf)

    def network(self, config: Any) -> Any:
        """A new network of such a configuration."""
        scored = _file("scored")
        return scored.scored(config) if isinstance(config, scored.ScoredConfig) else self.model_class()(config)

    def weight_map(self, config: Any) -> Any:
        """The map between our tensor names and Hugging Face's for this configuration."""
        scored = _file("scored")
        if isinstance(config, scored.ScoredConfig):
            return scored.weight_map(self._module().weight_map(config.body))
        return self._module().weight_map(config)

    def sizes(self) -> dict[str, Any]:
        """Published configurations by name; empty where the file defines none."""
        return dict(vars(self._module()).get("SIZES", {}))

    def _module(self) -> Any:
        return _file(self.name)


def _file(name: str) -> Any:
    return importlib.import_module(f"{__name__}.{name}")


ARCHITECTURES: tuple[Architecture, ...] = (
    Architecture(
        name="rnn",
        year=1990,
        paper="Elman 1990, Finding Structure in Time; as a language model Mikolov et al. 2010",
        developer="University of California, San Diego; Brno University of Technology",
        kind="recurrent",
        model="RNN",
        model_types=("trivium-rnn",),
    ),
    Architecture(
        name="lstm",
        year=1997,
        paper="Hochreiter and Schmidhuber 1997, Long Short-Term Memory; as a language model Zaremba et al. 2014",
        developer="TU Munich, IDSIA",
        kind="recurrent",
        model="LSTM",
        model_types=("trivium-lstm",),
    ),
    Architecture(
        name="gru",
        year=2014,
        paper="Cho et al. 2014, Learning Phrase Representations using RNN Encoder-Decoder; Chung et al. 2014",
        developer="Université de Montréal",
        kind="recurrent",
        model="GRU",
        model_types=("trivium-gru",),
    ),
    Architecture(
        name="cho",
        year=2014,
        paper="Cho et al. 2014, Learning Phrase Representations using RNN Encoder-Decoder",
        developer="Université de Montréal",
        kind="recurrent encoder-decoder",
        model="Cho",
        model_types=("trivium-cho",),
    ),
    Architecture(
        name="sutskever",
        year=2014,
        paper="Sutskever et al. 2014, Sequence to Sequence Learning with Neural Networks",
        developer="Google",
        kind="recurrent encoder-decoder",
        model="Sutskever",
        model_types=("trivium-sutskever",),
    ),
    Architecture(
        name="text_cnn",
        year=2014,
        paper="Kim 2014, Convolutional Neural Networks for Sentence Classification",
        developer="New York University",
        kind="classifier",
        model="TextCNN",
        model_types=("trivium-text-cnn",),
    ),
    Architecture(
        name="bilstm",
        year=2015,
        paper="Huang et al. 2015, Bidirectional LSTM-CRF Models for Sequence Tagging; Graves and Schmidhuber 2005",
        developer="Baidu Research; IDSIA, TU Munich",
        kind="classifier",
        model="BiLSTM",
        model_types=("trivium-bilstm",),
    ),
    Architecture(
        name="seq2seq",
        year=2015,
        paper="Bahdanau et al. 2015, Neural Machine Translation by Jointly Learning to Align and Translate",
        developer="Jacobs University Bremen, Université de Montréal",
        kind="recurrent encoder-decoder",
        model="Seq2Seq",
        model_types=("trivium-seq2seq",),
    ),
    Architecture(
        name="luong",
        year=2015,
        paper="Luong et al. 2015, Effective Approaches to Attention-based Neural Machine Translation",
        developer="Stanford University",
        kind="recurrent encoder-decoder",
        model="Luong",
        model_types=("trivium-luong",),
    ),
    Architecture(
        name="transformer",
        year=2017,
        paper="Vaswani et al. 2017, Attention Is All You Need; Marian: Junczys-Dowmunt et al. 2018",
        developer="Google; Adam Mickiewicz University, University of Edinburgh",
        kind="encoder-decoder",
        model="Transformer",
        model_types=("marian", "trivium-transformer"),
    ),
    Architecture(
        name="leakgan",
        year=2018,
        paper="Guo et al. 2018, Long Text Generation via Adversarial Training with Leaked Information",
        developer="Shanghai Jiao Tong University, University College London",
        kind="recurrent",
        model="LeakGAN",
        model_types=("trivium-leakgan",),
    ),
    Architecture(
        name="awd_lstm",
        year=2018,
        paper="Merity et al. 2018, Regularizing and Optimizing LSTM Language Models",
        developer="Salesforce Research",
        kind="recurrent",
        model="AWDLSTM",
        model_types=("trivium-awd-lstm",),
    ),
    Architecture(
        name="bilm",
        year=2018,
        paper="Peters et al. 2018, Deep contextualized word representations (ELMo)",
        developer="Allen Institute for AI, University of Washington",
        kind="bidirectional recurrent",
        model="BiLM",
        model_types=("trivium-bilm",),
    ),
    Architecture(
        name="relational_memory",
        year=2018,
        paper="Santoro et al. 2018, Relational recurrent neural networks; as a generator RelGAN: Nie et al. 2019",
        developer="DeepMind, University College London; Rice University, VMware Research",
        kind="recurrent",
        model="RelationalMemory",
        model_types=("trivium-relational-memory",),
    ),
    Architecture(
        name="gpt",
        year=2018,
        paper="Radford et al. 2018, Improving Language Understanding by Generative Pre-Training",
        developer="OpenAI",
        kind="decoder",
        model="GPT",
        model_types=("openai-gpt",),
    ),
    Architecture(
        name="bert",
        year=2018,
        paper="Devlin et al. 2018, BERT: Pre-training of Deep Bidirectional Transformers",
        developer="Google",
        kind="encoder",
        model="Bert",
        model_types=("bert",),
    ),
    Architecture(
        name="gpt2",
        year=2019,
        paper="Radford et al. 2019, Language Models are Unsupervised Multitask Learners",
        developer="OpenAI",
        kind="decoder",
        model="GPT2",
        model_types=("gpt2",),
    ),
    Architecture(
        name="xlnet",
        year=2019,
        paper="Yang et al. 2019, XLNet: Generalized Autoregressive Pretraining for Language Understanding",
        developer="Carnegie Mellon University, Google",
        kind="encoder",
        model="XLNet",
        model_types=("xlnet",),
    ),
    Architecture(
        name="ernie",
        year=2019,
        paper="Sun et al. 2019, ERNIE: Enhanced Representation through Knowledge Integration",
        developer="Baidu",
        kind="encoder",
        model="Ernie",
        model_types=("ernie",),
    ),
    Architecture(
        name="roberta",
        year=2019,
        paper="Liu et al. 2019, RoBERTa: A Robustly Optimized BERT Pretraining Approach",
        developer="Facebook AI, University of Washington",
        kind="encoder",
        model="Roberta",
        model_types=("roberta", "xlm-roberta", "camembert"),
    ),
    Architecture(
        name="t5",
        year=2019,
        paper="Raffel et al. 2019, Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer",
        developer="Google",
        kind="encoder-decoder",
        model="T5",
        model_types=("t5", "mt5"),
    ),
    Architecture(
        name="bart",
        year=2019,
        paper="Lewis et al. 2020, BART: Denoising Sequence-to-Sequence Pre-training for Natural Language Generation",
        developer="Facebook AI",
        kind="encoder-decoder",
        model="Bart",
        model_types=("bart",),
    ),
    Architecture(
        name="electra",
        year=2020,
        paper="Clark et al. 2020, ELECTRA: Pre-training Text Encoders as Discriminators Rather Than Generators",
        developer="Stanford University, Google",
        kind="encoder",
        model="Electra",
        model_types=("electra",),
    ),
    Architecture(
        name="gpt3",
        year=2020,
        paper="Brown et al. 2020, Language Models are Few-Shot Learners",
        developer="OpenAI",
        kind="decoder",
        model="GPT3",
        model_types=("trivium-gpt3",),
    ),
    Architecture(
        name="gpt_neo",
        year=2021,
        paper="Black et al. 2021, GPT-Neo: Large Scale Autoregressive Language Modeling with Mesh-Tensorflow",
        developer="EleutherAI",
        kind="decoder",
        model="GPTNeo",
        model_types=("gpt_neo",),
    ),
    Architecture(
        name="gptj",
        year=2021,
        paper="Wang and Komatsuzaki 2021, GPT-J-6B: A 6 Billion Parameter Autoregressive Language Model",
        developer="EleutherAI",
        kind="decoder",
        model="GPTJ",
        model_types=("gptj",),
    ),
    Architecture(
        name="glm",
        year=2021,
        paper="Du et al. 2022, GLM: General Language Model Pretraining with Autoregressive Blank Infilling",
        developer="Tsinghua University, Beijing Academy of Artificial Intelligence",
        kind="encoder-decoder",
        model="GLM",
        model_types=("glm",),
    ),
    Architecture(
        name="ernie3",
        year=2021,
        paper="Sun et al. 2021, ERNIE 3.0: Large-scale Knowledge Enhanced Pre-training",
        developer="Baidu",
        kind="decoder",
        model="Ernie3",
        model_types=("trivium-ernie3",),
    ),
    Architecture(
        name="jurassic1",
        year=2021,
        paper="Lieber et al. 2021, Jurassic-1: Technical Details and Evaluation",
        developer="AI21 Labs",
        kind="decoder",
        model="GPT2",
        model_types=("gpt2",),
    ),
    Architecture(
        name="gopher",
        year=2021,
        paper="Rae et al. 2021, Scaling Language Models (Gopher); Chinchilla: Hoffmann et al. 2022",
        developer="DeepMind",
        kind="decoder",
        model="Gopher",
        model_types=("trivium-gopher",),
    ),
    Architecture(
        name="lamda",
        year=2022,
        paper="Thoppilan et al. 2022, LaMDA: Language Models for Dialog Applications",
        developer="Google",
        kind="decoder",
        model="LaMDA",
        model_types=("trivium-lamda",),
    ),
    Architecture(
        name="megatron_turing",
        year=2022,
        paper="Smith et al. 2022, Using DeepSpeed and Megatron to Train Megatron-Turing NLG 530B",
        developer="Microsoft, NVIDIA",
        kind="decoder",
        model="GPT2",
        model_types=("gpt2",),
    ),
    Architecture(
        name="palm",
        year=2022,
        paper="Chowdhery et al. 2022, PaLM: Scaling Language Modeling with Pathways",
        developer="Google",
        kind="decoder",
        model="PaLM",
        model_types=("trivium-palm",),
    ),
    Architecture(
        name="gpt_neox",
        year=2022,
        paper="Black et al. 2022, GPT-NeoX-20B: An Open-Source Autoregressive Language Model",
        developer="EleutherAI",
        kind="decoder",
        model="GPTNeoX",
        model_types=("gpt_neox",),
    ),
    Architecture(
        name="opt",
        year=2022,
        paper="Zhang et al. 2022, OPT: Open Pre-trained Transformer Language Models",
        developer="Meta",
        kind="decoder",
        model="OPT",
        model_types=("opt",),
    ),
    Architecture(
        name="bloom",
        year=2022,
        paper="Le Scao et al. 2022, BLOOM: A 176B-Parameter Open-Access Multilingual Language Model",
        developer="BigScience",
        kind="decoder",
        model="Bloom",
        model_types=("bloom",),
    ),
    Architecture(
        name="llama",
        year=2023,
        paper="Touvron et al. 2023, LLaMA: Open and Efficient Foundation Language Models",
        developer="Meta",
        kind="decoder",
        model="Llama",
        model_types=("llama",),
    ),
    Architecture(
        name="falcon",
        year=2023,
        paper="Almazrouei et al. 2023, The Falcon Series of Open Language Models",
        developer="Technology Innovation Institute",
        kind="decoder",
        model="Falcon",
        model_types=("falcon",),
    ),
    Architecture(
        name="mistral",
        year=2023,
        paper="Jiang et al. 2023, Mistral 7B",
        developer="Mistral AI",
        kind="decoder",
        model="Mistral",
        model_types=("mistral",),
    ),
    Architecture(
        name="mixtral",
        year=2024,
        paper="Jiang et al. 2024, Mixtral of Experts",
        developer="Mistral AI",
        kind="decoder",
        model="Mixtral",
        model_types=("mixtral",),
    ),
    Architecture(
        name="gemma",
        year=2024,
        paper="Gemma Team 2024, Gemma: Open Models Based on Gemini Research and Technology",
        developer="Google DeepMind",
        kind="decoder",
        model="Gemma",
        model_types=("gemma",),
    ),
    Architecture(
        name="gemma2",
        year=2024,
        paper="Gemma Team 2024, Gemma 2: Improving Open Language Models at a Practical Size",
        developer="Google DeepMind",
        kind="decoder",
        model="Gemma2",
        model_types=("gemma2",),
    ),
    Architecture(
        name="grok1",
        year=2024,
        paper="xAI 2024, open release of Grok-1 (without a paper)",
        developer="xAI",
        kind="decoder",
        model="Grok1",
        model_types=("trivium-grok1",),
    ),
    Architecture(
        name="modernbert",
        year=2024,
        paper="Warner et al. 2024, Smarter, Better, Faster, Longer: A Modern Bidirectional Encoder",
        developer="Answer.AI, LightOn",
        kind="encoder",
        model="ModernBert",
        model_types=("modernbert",),
    ),
    Architecture(
        name="phi3",
        year=2024,
        paper="Abdin et al. 2024, Phi-3 Technical Report: A Highly Capable Language Model Locally on Your Phone",
        developer="Microsoft",
        kind="decoder",
        model="Phi3",
        model_types=("phi3",),
    ),
    Architecture(
        name="cohere",
        year=2024,
        paper="Cohere 2024, Command R and R+ (released without a paper)",
        developer="Cohere",
        kind="decoder",
        model="Cohere",
        model_types=("cohere",),
    ),
    Architecture(
        name="qwen2",
        year=2024,
        paper="Yang et al. 2024, Qwen2 Technical Report; Qwen2.5 Technical Report",
        developer="Alibaba",
        kind="decoder",
        model="Qwen2",
        model_types=("qwen2",),
    ),
    Architecture(
        name="cohere2",
        year=2024,
        paper="Cohere 2025, Command A: An Enterprise-Ready Large Language Model; released as Command R7B in 2024",
        developer="Cohere",
        kind="decoder",
        model="Cohere2",
        model_types=("cohere2",),
    ),
    Architecture(
        name="olmo2",
        year=2024,
        paper="OLMo team 2025, 2 OLMo 2 Furious",
        developer="Allen Institute for AI",
        kind="decoder",
        model="Olmo2",
        model_types=("olmo2",),
    ),
    Architecture(
        name="deepseek_v3",
        year=2024,
        paper="DeepSeek-AI 2024, DeepSeek-V3 Technical Report",
        developer="DeepSeek",
        kind="decoder",
        model="DeepSeekV3",
        model_types=("deepseek_v3",),
    ),
    Architecture(
        name="gemma3",
        year=2025,
        paper="Gemma Team 2025, Gemma 3 Technical Report",
        developer="Google DeepMind",
        kind="decoder",
        model="Gemma3",
        model_types=("gemma3_text",),
    ),
    Architecture(
        name="qwen3",
        year=2025,
        paper="Yang et al. 2025, Qwen3 Technical Report",
        developer="Alibaba",
        kind="decoder",
        model="Qwen3",
        model_types=("qwen3",),
    ),
    Architecture(
        name="qwen3_moe",
        year=2025,
        paper="Yang et al. 2025, Qwen3 Technical Report",
        developer="Alibaba",
        kind="decoder",
        model="Qwen3Moe",
        model_types=("qwen3_moe",),
    ),
    Architecture(
        name="gpt_oss",
        year=2025,
        paper="OpenAI 2025, gpt-oss-120b & gpt-oss-20b Model Card",
        developer="OpenAI",
        kind="decoder",
        model="GptOss",
        model_types=("gpt_oss",),
    ),
    Architecture(
        name="modular",
        year=2026,
        paper="A decoder whose parts are chosen, for comparing them; each part names its own paper",
        developer="Trivium",
        kind="decoder",
        model="Modular",
        model_types=("trivium-modular",),
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
