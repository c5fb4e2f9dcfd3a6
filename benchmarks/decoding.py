"""Tokens a second of greedy decoding: Trivium, `transformers` and a minimal hand-written loop, in one process.

    python benchmarks/decoding.py            # under 20 minutes on two cores
    python benchmarks/decoding.py --smoke    # a minute: the small sizes, one round

All three have the same weights and take turns, so that a busy machine is busy for all of them. Time
includes reading the prompt. The limit is the memory's: every weight is read once a step, at the bandwidth
measured here.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from transformers import GPT2Config as TheirGPT2Config
from transformers import GPT2LMHeadModel, LlamaForCausalLM
from transformers import LlamaConfig as TheirLlamaConfig

from trivium.generation.decode import decode
from trivium.generation.request import requests
from trivium.generation.settings import GenerationSettings
from trivium.models import architecture
from trivium.models.gpt2 import GPT2, GPT2Config
from trivium.models.llama import Llama, LlamaConfig, qkv_sizes
from trivium.nn.weight_map import export
from trivium.runtime.allocator import keep_freed_memory

V = 32000


@dataclass(frozen=True, kw_only=True)
class Case:
    """One model at one load."""

    name: str
    config: GPT2Config | LlamaConfig
    prompt_tokens: tuple[int, ...]
    new_tokens: int
    goal: float
    """Least ratio of our speed to `generate`'s."""


def llama(layers: int, width: int, heads: int, inner: int) -> LlamaConfig:
    return LlamaConfig(
        vocabulary_size=V, width=width, layers=layers, heads=heads, inner_width=inner, context_tokens=512, tied=True
    )


def gpt2(layers: int, width: int, heads: int) -> GPT2Config:
    return GPT2Config(vocabulary_size=V, width=width, layers=layers, heads=heads, context_tokens=512)


LARGE, SMALL = llama(12, 768, 12, 2048), llama(6, 288, 6, 768)  # 109.5M and 15.2M parameters
UNEQUAL = tuple(8 * (row + 1) for row in range(16))  # 8 to 128 tokens
CASES = (
    Case(name="LLaMA 110M, 1 row", config=LARGE, prompt_tokens=(64,), new_tokens=64, goal=1.1),
    Case(name="LLaMA 15M, 1 row", config=SMALL, prompt_tokens=(64,), new_tokens=128, goal=1.3),
    Case(name="GPT-2 110M, 1 row", config=gpt2(12, 768, 12), prompt_tokens=(64,), new_tokens=64, goal=1.1),
    Case(name="GPT-2 15M, 1 row", config=gpt2(6, 288, 6), prompt_tokens=(64,), new_tokens=128, goal=1.3),
    Case(name="LLaMA 110M, 16 rows", config=LARGE, prompt_tokens=UNEQUAL, new_tokens=64, goal=1.5),
    Case(name="LLaMA 15M, 16 rows", config=SMALL, prompt_tokens=UNEQUAL, new_tokens=64, goal=1.5),
)


def ours(model: nn.Module, prompts: list[list[int]], new: int) -> list[list[int]]:
    settings = GenerationSettings(max_new_tokens=new)
    asked = requests(prompts, settings)
    for _ in decode(model, asked):
        pass
    return [request.token_ids for request in asked]


def theirs(model: nn.Module, prompts: list[list[int]], new: int) -> list[list[int]]:
    """`generate` with the padding on the left, as its documentation says."""
    width = max(map(len, prompts))
    tokens = torch.tensor([[0] * (width - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    out = model.generate(tokens, attention_mask=mask, max_new_tokens=new, do_sample=False)
    return out[:, width:].tolist()


class Minimal:
    """The shortest LLaMA that keeps keys and values: one row, growing tensors, our weights."""

    def __init__(self, model: Llama) -> None:
        self.model, self.config = model, model.config
        theta = model.config.rope.base ** (-torch.arange(0, model.config.width_of_head, 2) / model.config.width_of_head)
        angles = torch.arange(model.config.context_tokens)[:, None] * theta
        self.cos, self.sin = torch.cat([angles, angles], -1).cos(), torch.cat([angles, angles], -1).sin()

    @torch.inference_mode()
    def __call__(self, prompts: list[list[int]], new: int) -> list[list[int]]:
        (prompt,) = prompts
        tokens, past = torch.tensor([prompt]), [None] * self.config.layers
        out: list[int] = []
        for _ in range(new):
            hidden = self.step(tokens, past, len(prompt) + len(out) - tokens.shape[1])
            tokens = F.linear(hidden[:, -1], self.model.head.weight).argmax(-1, keepdim=True)
            out.append(int(tokens))
        return [out]

    def step(self, tokens: torch.Tensor, past: list, start: int) -> torch.Tensor:
        config, length = self.config, tokens.shape[1]
        cos, sin = self.cos[start : start + length], self.sin[start : start + length]
        x = F.embedding(tokens, self.model.embedding.weight)
        for i, block in enumerate(self.model.blocks):
            qkv = F.linear(self.norm(x, block.attention_norm), block.attention.qkv.weight).split(qkv_sizes(config), -1)
            q, k, v = (part.view(1, length, -1, config.width_of_head).transpose(1, 2) for part in qkv)
            q, k = (part * cos + self.half_turned(part) * sin for part in (q, k))
            if past[i] is not None:
                k, v = torch.cat([past[i][0], k], 2), torch.cat([past[i][1], v], 2)
            past[i] = (k, v)
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=length > 1).transpose(1, 2).flatten(2)
            x = x + F.linear(mixed, block.attention.output.weight)
            gate, up = F.linear(self.norm(x, block.feedforward_norm), block.feedforward.gate_up.weight).chunk(2, -1)
            x = x + F.linear(F.silu(gate) * up, block.feedforward.down.weight)
        return self.norm(x, self.model.norm)

    def norm(self, x: torch.Tensor, norm: nn.Module) -> torch.Tensor:
        return F.rms_norm(x, (x.shape[-1],), norm.weight, norm.epsilon)

    @staticmethod
    def half_turned(x: torch.Tensor) -> torch.Tensor:
        first, second = x.chunk(2, -1)
        return torch.cat([-second, first], -1)


def twin(model: nn.Module) -> nn.Module:
    """The same weights in `transformers`."""
    kind, config_kind = (
        (GPT2LMHeadModel, TheirGPT2Config) if isinstance(model, GPT2) else (LlamaForCausalLM, TheirLlamaConfig)
    )
    hf = model.config.to_hf() | {"bos_token_id": None, "eos_token_id": None, "pad_token_id": 0}
    other = kind(config_kind(**hf)).eval()
    mapping = architecture(hf["model_type"]).weight_map(model.config)
    other.load_state_dict(dict(export(model.state_dict(), mapping)), strict=False)
    other.tie_weights()
    return other


def bandwidth() -> float:
    """Bytes a second that all threads together read from memory: the best of ten sums over 256 MiB."""
    numbers = torch.zeros(2**26)
    return 4 * 2**26 / min(_timed(numbers.sum)[0] for _ in range(10))


def _timed(work: Callable[[], object]) -> tuple[float, object]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def measure(case: Case, rounds: int, bytes_a_second: float) -> None:
    torch.manual_seed(0)
    model = (GPT2 if isinstance(case.config, GPT2Config) else Llama)(case.config).eval()
    other = twin(model)
    prompts = [torch.randint(V, (count,)).tolist() for count in case.prompt_tokens]
    contenders: dict[str, Callable[[], list[list[int]]]] = {
        "trivium": lambda: ours(model, prompts, case.new_tokens),
        "transformers": lambda: theirs(other, prompts, case.new_tokens),
    }
    if isinstance(model, Llama) and len(prompts) == 1:
        minimal = Minimal(model)
        contenders["minimal"] = lambda: minimal(prompts, case.new_tokens)
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    answers = {name: work() for name, work in contenders.items()}  # also warms up
    for turn in range(rounds):
        names = list(contenders)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            seconds[name].append(_timed(contenders[name])[0])
    total = len(prompts) * case.new_tokens
    weights = 4 * sum(parameter.numel() for parameter in model.parameters())
    limit = len(prompts) * bytes_a_second / weights
    print(f"\n{case.name}: {case.new_tokens} new tokens, the memory allows {limit:.0f} tokens/s")
    for name, taken in seconds.items():
        speed = total / statistics.median(taken)
        ratio = statistics.median(b / a for a, b in zip(taken, seconds["transformers"], strict=True))
        agree = sum(a == b for a, b in zip(answers[name], answers["trivium"], strict=True))
        print(
            f"  {name:<13} {speed:7.1f} tokens/s (best {total / min(taken):7.1f}), {100 * speed / limit:3.0f} % of the"
            f" limit, {ratio:5.2f} x transformers, {agree}/{len(prompts)} answers as ours"
        )
    ratio = statistics.median(b / a for a, b in zip(seconds["trivium"], seconds["transformers"], strict=True))
    print(f"  {'met' if ratio >= case.goal else 'MISSED'}: {ratio:.2f}, the goal is {case.goal}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="turns of each contender")
    parser.add_argument("--smoke", action="store_true", help="only the 15M models, one round")
    options = parser.parse_args()
    keep_freed_memory()  # for all three alike
    bytes_a_second = bandwidth()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, memory reads {bytes_a_second / 1e9:.1f} GB/s")
    for case in CASES:
        if not options.smoke or "15M" in case.name:
            measure(case, 1 if options.smoke else options.rounds, bytes_a_second)


if __name__ == "__main__":
    main()
