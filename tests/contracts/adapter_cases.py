"""Methods of adapting on the tracers they are tried on: what ``test_adapters.py`` holds every one of them to."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tests.contracts.tracers import LENGTHS, PREDICTING, SOURCE_LENGTHS, TRACERS, Tracer, sources, texts
from trivium.adapters.answering import Answering
from trivium.adapters.attach import adapter_parameters
from trivium.adapters.bottleneck import BottleneckConfig
from trivium.adapters.extended import ExtendedIA3Config, ExtendedLoRAConfig
from trivium.adapters.ia3 import IA3Config
from trivium.adapters.llama_adapter import LlamaAdapterConfig
from trivium.adapters.lora import LoRAConfig
from trivium.adapters.methods import AdapterConfig, method_of
from trivium.adapters.parallel_adapter import ParallelAdapterConfig
from trivium.adapters.prefix import PrefixConfig
from trivium.adapters.prompt_encoder import PTuningConfig
from trivium.adapters.routing import activate, route
from trivium.adapters.soft_prompt import SoftPromptConfig
from trivium.adapters.trained_copy import TrainedCopyConfig
from trivium.adapters.trained_tokens import TrainedTokensConfig

_TRACERS = {tracer.label: tracer for tracer in TRACERS}


@dataclass(frozen=True, kw_only=True)
class AdapterCase:
    """One configuration on one tiny model, and what may be asked of it."""

    tracer: str
    """Label of the tracer."""
    config: AdapterConfig
    neutral: bool = True
    """A new adapter changes no output."""
    merges: bool = True
    """Where its method does, weights can express this configuration too."""
    plain: bool = True
    """Its settings come back from a saved folder as they were."""
    ragged: bool = True
    """Works in a step of packed tokens; asked only of models that carry a state."""

    @property
    def model(self) -> Tracer:
        return _TRACERS[self.tracer]

    @property
    def label(self) -> str:
        """For pytest: the model, the method, and how often that pair came before."""
        same = [case for case in CASES if (case.tracer, case.method) == (self.tracer, self.method)]
        return f"{self.tracer}-{self.method}-{same.index(self)}".replace(" ", "-")

    @property
    def method(self) -> str:
        return method_of(self.config).name


_BOTTLENECK = BottleneckConfig(width=5)
_BESIDE_ATTENTION = ParallelAdapterConfig(width=5, activation="gelu", beside="attention")
_PARALLEL = ParallelAdapterConfig(width=5, activation="gelu")
_EXPERTS = ("experts.gate_up_proj", "experts.down_proj")
_ALL = LoRAConfig(rank=2, alpha=3, targets="all-linear")
_TOKENS, _HEAD = (9, 2, 7, 15), TrainedCopyConfig(modules=("lm_head",))
CASES: tuple[AdapterCase, ...] = (
    AdapterCase(tracer="gpt2", config=_ALL),
    AdapterCase(tracer="llama", config=_ALL),
    AdapterCase(tracer="llama", config=LoRAConfig(rank=3, rank_stabilised=True, targets=("q_proj", "up_proj"))),
    AdapterCase(tracer="gpt2", config=LoRAConfig(rank=2, targets=("wte", "c_attn")), merges=False),
    AdapterCase(tracer="phi3", config=LoRAConfig(rank=2, targets=("embed_tokens", "qkv_proj", "lm_head"), layers=(1,))),
    AdapterCase(tracer="phi3", config=LoRAConfig(rank=2, targets=("embed_tokens", "qkv_proj", "lm_head"))),
    AdapterCase(tracer="falcon", config=_ALL),
    AdapterCase(
        tracer="gpt_neox",
        config=LoRAConfig(
            rank=2,
            bias=True,
            targets="all-linear",
            exclude=("dense_4h_to_h",),
            rank_pattern={"query_key_value": 3},
            alpha_pattern={r".*\.1\.mlp\.dense_h_to_4h": 5.0},
        ),
    ),
    AdapterCase(tracer="gpt2", config=LoRAConfig(rank=2, decomposed=True, targets="all-linear")),
    AdapterCase(tracer="llama", config=LoRAConfig(rank=2, decomposed=True, targets=("q_proj", "v_proj", "up_proj"))),
    AdapterCase(tracer="gpt2", config=LoRAConfig(rank=2, start="pissa", targets="all-linear"), plain=False),
    AdapterCase(
        tracer="llama",
        config=LoRAConfig(rank=2, start="pissa", rank_stabilised=True, targets=("k_proj", "down_proj")),
        plain=False,
    ),
    AdapterCase(tracer="gpt2", config=IA3Config(targets=("c_attn", "mlp.c_proj"), feedforward=("mlp.c_proj",))),
    AdapterCase(tracer="llama", config=IA3Config(), plain=False),
    AdapterCase(tracer="deepseek_v3", config=IA3Config(), plain=False),
    AdapterCase(tracer="modular shaw memory", config=IA3Config(), plain=False),
    AdapterCase(tracer="bert", config=LoRAConfig(rank=2, targets=r".*\.encoder\..*|.*transform.*")),
    AdapterCase(tracer="bert", config=LoRAConfig(rank=2, targets=("word_embeddings", "value")), merges=False),
    AdapterCase(
        tracer="bert", config=IA3Config(targets=("key", "value", "output.dense"), feedforward=("output.dense",))
    ),
    AdapterCase(tracer="electra", config=_ALL),
    AdapterCase(tracer="modernbert", config=_ALL),
    AdapterCase(tracer="xlnet", config=_ALL),
    AdapterCase(tracer="t5 1.1", config=_ALL),
    AdapterCase(tracer="t5 1.1", config=LoRAConfig(rank=2, targets=("q", "v", "shared", "lm_head"))),
    AdapterCase(tracer="t5 1.1", config=IA3Config(targets=("k", "v", "wo"), feedforward=("wo",))),
    AdapterCase(tracer="bart", config=_ALL),
    AdapterCase(tracer="transformer", config=_ALL),
    AdapterCase(tracer="mixtral", config=_ALL),
    *(
        AdapterCase(tracer=tracer, config=LoRAConfig(rank=2, targets=("q_proj",), parameters=_EXPERTS))
        for tracer in ("mixtral", "qwen3_moe", "gpt_oss")
    ),
    AdapterCase(tracer="deepseek_v3", config=_ALL),
    AdapterCase(tracer="lstm", config=LoRAConfig(rank=2, targets=("embedding", "head"))),
    AdapterCase(tracer="luong", config=_ALL, ragged=False),
    AdapterCase(tracer="gpt2", config=PrefixConfig(tokens=3), neutral=False),
    AdapterCase(tracer="llama", config=PrefixConfig(tokens=3), neutral=False),
    AdapterCase(tracer="bloom", config=PrefixConfig(tokens=2, text_tokens=(7, 3)), neutral=False, plain=False),
    AdapterCase(tracer="gpt2", config=PrefixConfig(tokens=3, projection=True), neutral=False, plain=False),
    *(
        AdapterCase(tracer=tracer, config=SoftPromptConfig(tokens=3), neutral=False)
        for tracer in ("gpt2", "llama", "mistral", "deepseek_v3", "lstm")
    ),
    AdapterCase(tracer="llama", config=PTuningConfig(tokens=2), neutral=False, plain=False),
    AdapterCase(tracer="gru", config=PTuningConfig(tokens=3, encoder="mlp"), neutral=False, plain=False),
    *(AdapterCase(tracer=tracer, config=_BOTTLENECK) for tracer in ("gpt2", "gpt_neox", "xlnet", "bert", "t5 1.1")),
    AdapterCase(tracer="llama", config=BottleneckConfig(kind="pfeiffer", width=5, layers=(1,))),
    AdapterCase(tracer="bart", config=BottleneckConfig(kind="pfeiffer", width=5, activation="tanh")),
    *(AdapterCase(tracer=tracer, config=_PARALLEL) for tracer in ("gpt2", "bert", "t5 1.1", "bart", "qwen3_moe")),
    AdapterCase(tracer="llama", config=ParallelAdapterConfig(width=5, activation="gelu", learnt_scale=True)),
    AdapterCase(tracer="gpt2", config=_BESIDE_ATTENTION),
    AdapterCase(tracer="llama", config=LlamaAdapterConfig(tokens=3, layers=1)),
    AdapterCase(tracer="mistral", config=LlamaAdapterConfig(tokens=3)),
    AdapterCase(tracer="gpt", config=LlamaAdapterConfig(tokens=3, projected=False)),
    AdapterCase(tracer="bert", config=LlamaAdapterConfig(tokens=3)),
    AdapterCase(tracer="glm", config=_BESIDE_ATTENTION),
    AdapterCase(tracer="modular alibi adaptive span", config=_BESIDE_ATTENTION),
    AdapterCase(tracer="llama", config=TrainedCopyConfig(modules=("embed_tokens", "lm_head", "norm"))),
    AdapterCase(tracer="cohere", config=TrainedCopyConfig(modules=("lm_head",)), merges=False),
    AdapterCase(tracer="gptj", config=TrainedCopyConfig(modules=("lm_head", "transformer.ln_f"))),
    AdapterCase(tracer="xlnet", config=TrainedCopyConfig(modules=("word_embedding",)), merges=False),
    AdapterCase(tracer="llama", config=TrainedTokensConfig(tokens=_TOKENS, head=True)),
    AdapterCase(tracer="cohere", config=TrainedTokensConfig(tokens=_TOKENS)),
    AdapterCase(tracer="gemma2", config=TrainedTokensConfig(tokens=_TOKENS)),
    AdapterCase(tracer="lstm tied", config=TrainedTokensConfig(tokens=_TOKENS)),
    AdapterCase(tracer="llama", config=ExtendedLoRAConfig(copies=_HEAD, tokens=TrainedTokensConfig(tokens=_TOKENS))),
    AdapterCase(tracer="cohere", config=ExtendedLoRAConfig(update=_ALL, tokens=TrainedTokensConfig(tokens=_TOKENS))),
    AdapterCase(tracer="llama", config=ExtendedIA3Config(copies=_HEAD), plain=False),
    AdapterCase(
        tracer="gpt2",
        config=ExtendedLoRAConfig(update=LoRAConfig(rank=2, targets=("c_attn", "wte")), tied=True),
        plain=False,
    ),
    AdapterCase(
        tracer="cohere",
        config=ExtendedLoRAConfig(update=_ALL, copies=TrainedCopyConfig(modules=("embed_tokens",)), tied=True),
    ),
    AdapterCase(tracer="electra", config=TrainedTokensConfig(tokens=_TOKENS)),
    AdapterCase(tracer="bart", config=TrainedTokensConfig(tokens=_TOKENS)),
)
"""Everyone who adds a method adds its cases; a tracer with several is also tried with all of them in one batch."""

IMPOSSIBLE: tuple[tuple[str, AdapterConfig, str], ...] = (
    ("llama", LoRAConfig(targets=("q_proj", "query")), "matches no"),
    ("llama", LoRAConfig(rank=13, targets=("q_proj", "k_proj", "down_proj")), "rank is larger"),
    ("llama", LoRAConfig(parameters=("experts.down_proj",)), "matches no"),
    ("llama", LoRAConfig(layers=(7,)), "no layer is left"),
    ("mixtral", LoRAConfig(targets=("gate",)), "matches no"),
    ("mixtral", LoRAConfig(targets=(), parameters=_EXPERTS, decomposed=True), "of this kind on"),
    ("llama", IA3Config(targets=("up_proj",), feedforward=("up_proj",)), "computed together"),
    ("llama", IA3Config(targets=("k_proj",), feedforward=("down_proj",)), "none of the targets"),
    ("llama", IA3Config(targets=("embed_tokens",), feedforward=()), "no linear layer"),
    ("lstm", PrefixConfig(tokens=2), "caches keys and values"),
    ("bert", PrefixConfig(tokens=2), "enters through the state"),
    ("t5 1.1", SoftPromptConfig(tokens=2), "enters through the state"),
    ("gpt2", PTuningConfig(tokens=12), "fills the model's context"),
    ("lstm", BottleneckConfig(width=2), "have no seats after attention"),
    ("awd_lstm", ParallelAdapterConfig(width=2), "have no seats after attention"),
    ("llama", BottleneckConfig(width=17), "wider than the model"),
    ("llama", ParallelAdapterConfig(width=5, layers=(1, 2)), r"layers 2(.|\n)*some of 0 to 1"),
    ("llama", LlamaAdapterConfig(layers=3), "at most 2"),
    ("t5 1.1", LlamaAdapterConfig(), "needs the attention of LLaMA"),
    ("bloom", LlamaAdapterConfig(), "MegatronAttention"),
    ("llama", TrainedCopyConfig(modules=("classifier",)), "no module of this model is called 'classifier'"),
    ("llama", TrainedCopyConfig(modules=("self_attn",)), "a copy of a part of a module"),
    ("llama", TrainedTokensConfig(tokens=(3, 23)), "outside the vocabulary"),
    ("gpt2", TrainedTokensConfig(tokens=(3,), head=True), "no output head of this model"),
    (
        "llama",
        ExtendedLoRAConfig(update=LoRAConfig(rank=2, targets=("lm_head",)), copies=TrainedCopyConfig()),
        "for the same module",
    ),
    ("gpt2", ExtendedLoRAConfig(update=LoRAConfig(rank=2, targets=("c_attn",)), tied=True), "nothing that is tied"),
    ("llama", ExtendedLoRAConfig(update=LoRAConfig(rank=2, targets=("embed_tokens",)), tied=True), "leave tied out"),
    ("lstm", IA3Config(), "no layers that make them"),
)
"""Tracers, configurations that cannot be attached to them, and what the error says."""


def randomise(model: nn.Module, name: str) -> None:
    """Adapters begin with little or no effect: give this one some."""
    generator = torch.Generator().manual_seed(len(name))
    with torch.no_grad():
        for parameter in adapter_parameters(model, name).values():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)


def answers(tracer: Tracer, model: nn.Module, names: list[str | None], rows: list[int] | None = None) -> list[Tensor]:
    """What the model says of the tracer's ``rows`` (all three), row ``i`` under the adapter ``names[i]``."""
    rows = [0, 1, 2] if rows is None else rows
    lengths = torch.tensor(LENGTHS)[rows]
    tokens = texts()[rows, : int(lengths.max())]
    activate(model, None)  # else a row without a name would begin with the prompt of the active one
    with route(model, names):
        hidden = model(tokens, lengths=lengths, **begun(tracer, model, names, rows)).hidden
        if tracer in PREDICTING:
            hidden = model.head.logits(hidden)
        elif not tracer.tags:
            return list(model.classify(hidden))
    return [row[:length] for row, length in zip(hidden, lengths.tolist(), strict=True)]


def begun(tracer: Tracer, model: nn.Module, names: list[str | None], rows: list[int]) -> dict[str, object]:
    """The state that a pass over ``rows`` begins with, where the model has one; call it inside ``route``."""
    if tracer.reads_a_source:
        lengths = torch.tensor(SOURCE_LENGTHS)[rows]
        return {"state": model.encode(sources()[rows, : int(lengths.max())], lengths, capacity=12)}
    return {"state": Answering(model).begin(names, 12)} if tracer.goes_on else {}
