"""Training throughput beside Hugging Face and a minimal hand-written GPT, alternating in one process.

    python benchmarks/training.py [--rounds 8] [--compile] [--packing]

Six layers of width 384, vocabulary 8,192, context 256, 8 rows a step, fp32, fused AdamW: the sizes at
which the peers were measured. Each contender does one forward, backward and update per turn; medians
and the ratios to Hugging Face are printed, and the fraction of the matrix-product peak measured in the
same run. FLOPs are counted as 6 per matrix parameter and token (2 forward, 4 backward) plus causal
attention, the tied output matrix included and the embedding look-up not.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trivium.data.batches import CausalBatch
from trivium.models.gpt2 import GPT2, GPT2Config
from trivium.models.llama import Llama, LlamaConfig
from trivium.nn.linear import matmul_nt
from trivium.objectives.causal import causal
from trivium.runtime.allocator import keep_freed_memory
from trivium.tokenizers import load

WIDTH, LAYERS, HEADS, VOCABULARY, CONTEXT, ROWS = 384, 6, 6, 8192, 256, 8
PACKED_CONTEXT = 512
_SHARED = Path(os.environ.get("TRIVIUM_SHARED", Path(__file__).resolve().parents[2] / "shared" / "data"))
LLAMA_INNER = 1024


class MinimalGPT(nn.Module):
    """The usual hundred-line GPT: fused qkv, SDPA, tanh-GELU, tied head, cross-entropy over all logits."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(CONTEXT, WIDTH)
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(2 * LAYERS + 1))
        self.qkv = nn.ModuleList(nn.Linear(WIDTH, 3 * WIDTH) for _ in range(LAYERS))
        self.mix = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(LAYERS))
        self.up = nn.ModuleList(nn.Linear(WIDTH, 4 * WIDTH) for _ in range(LAYERS))
        self.down = nn.ModuleList(nn.Linear(4 * WIDTH, WIDTH) for _ in range(LAYERS))
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, tokens: Tensor, targets: Tensor) -> Tensor:
        rows, length = tokens.shape
        x = self.tokens(tokens) + self.places(torch.arange(length))
        for i in range(LAYERS):
            q, k, v = self.qkv[i](self.norms[2 * i](x)).view(rows, length, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.mix[i](mixed.transpose(1, 2).reshape(rows, length, WIDTH))
            x = x + self.down[i](F.gelu(self.up[i](self.norms[2 * i + 1](x)), approximate="tanh"))
        logits = F.linear(self.norms[-1](x), self.tokens.weight)
        return F.cross_entropy(logits.view(-1, VOCABULARY), targets.reshape(-1))


@dataclass
class Contender:
    """A model with its update; ``flops`` per token, forward and backward."""

    name: str
    loss: Callable[[Tensor, Tensor], Tensor]
    parameters: list[nn.Parameter]
    flops: float

    def __post_init__(self) -> None:
        self.optimiser = torch.optim.AdamW(self.parameters, lr=3e-4, fused=True)
        self.seconds: list[float] = []

    def step(self, tokens: Tensor, targets: Tensor) -> float:
        begin = time.perf_counter()
        loss = self.loss(tokens, targets)
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        return time.perf_counter() - begin


def ours(name: str, model: GPT2 | Llama, compiled: bool) -> Contender:
    """Our model under our objective; compiled the way the trainer does it, block by block."""
    if compiled:
        for block in model.blocks:
            block.compile()
    lengths = torch.full((ROWS,), CONTEXT)
    mask = torch.ones(ROWS, CONTEXT, dtype=torch.bool)

    def loss(tokens: Tensor, targets: Tensor) -> Tensor:
        result = causal(model, CausalBatch(tokens=tokens, targets=targets, mask=mask, lengths=lengths))
        return result.total / result.count

    return Contender(name, loss, list(model.parameters()), flops_per_token(model))


def theirs(name: str, model: nn.Module, compiled: bool) -> Contender:
    """A ``transformers`` model with its own loss (it shifts the labels itself, so it sees whole rows)."""
    called = torch.compile(model) if compiled else model
    return Contender(name, lambda tokens, _: called(input_ids=tokens, labels=tokens).loss, list(model.parameters()),
                     flops_per_token(model))  # fmt: skip


def flops_per_token(model: nn.Module) -> float:
    """6 x matrix parameters (embeddings of tokens and positions out, the head in) + 12 D per visible key."""
    matrices = sum(p.numel() for name, p in model.named_parameters() if p.dim() == 2 and not _is_table(name))
    return 6 * (matrices + VOCABULARY * WIDTH) + 12 * LAYERS * WIDTH * (CONTEXT + 1) / 2


def _is_table(name: str) -> bool:
    return any(
        part in name for part in ("embedding", "positions", "wte", "wpe", "embed_tokens", "tokens", "places", "head")
    )


def contenders(compiled: bool) -> list[Contender]:
    """Ours, the peers' and the minimal one, all of the same shape."""
    from transformers import GPT2Config as HFGPT2Config
    from transformers import GPT2LMHeadModel, LlamaForCausalLM
    from transformers import LlamaConfig as HFLlamaConfig

    gpt2 = GPT2Config(vocabulary_size=VOCABULARY, width=WIDTH, layers=LAYERS, heads=HEADS, context_tokens=CONTEXT)
    llama = LlamaConfig(vocabulary_size=VOCABULARY, width=WIDTH, layers=LAYERS, heads=HEADS, inner_width=LLAMA_INNER,
                        context_tokens=CONTEXT, tied=True)  # fmt: skip
    hf_gpt2 = GPT2LMHeadModel(HFGPT2Config(**gpt2.to_hf() | {"bos_token_id": 0, "eos_token_id": 0}))
    hf_llama = LlamaForCausalLM(HFLlamaConfig(**llama.to_hf()))
    minimal = MinimalGPT()
    called = torch.compile(minimal) if compiled else minimal
    return [
        ours("trivium gpt2", GPT2(gpt2), compiled),
        theirs("transformers gpt2", hf_gpt2, compiled),
        ours("trivium llama", Llama(llama), compiled),
        theirs("transformers llama", hf_llama, compiled),
        Contender("minimal gpt", called, list(minimal.parameters()), flops_per_token(minimal)),
    ]


def measured_peak(seconds: float = 1.0) -> float:
    """Best fp32 matrix product of this machine now, by the faster of its two libraries, in FLOP/s (2,048 cubed)."""
    a = torch.randn(2048, 2048)
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        for product in (torch.matmul, matmul_nt):
            begin = time.perf_counter()
            product(a, a)
            best = min(best, time.perf_counter() - begin)
    return 2 * 2048**3 / best


def alternate(entries: list[Contender], rounds: int) -> float:
    """One step each in turn; the peak is measured between rounds, so that both see the same machine."""
    generator = torch.Generator().manual_seed(0)
    peaks = []
    for turn in range(rounds + 1):
        text = torch.randint(VOCABULARY, (ROWS, CONTEXT + 1), generator=generator)
        peaks.append(measured_peak(0.3))
        for entry in entries:
            elapsed = entry.step(text[:, :-1], text[:, 1:])
            if turn > 0:  # the first step warms up (and compiles)
                entry.seconds.append(elapsed)
    return max(peaks)


def report(entries: list[Contender], peak: float, title: str) -> dict[str, float]:
    """Print the table and return the ratios."""
    print(f"\n{title}: peak {peak / 1e9:.0f} GFLOP/s, {torch.get_num_threads()} threads")
    tokens = ROWS * CONTEXT
    rates = {e.name: tokens / statistics.median(e.seconds) for e in entries}
    for e in entries:
        best = tokens / min(e.seconds)
        share, best_share = rates[e.name] * e.flops / peak, best * e.flops / peak
        print(
            f"  {e.name:20s} {rates[e.name]:7.0f} tokens/s (best {best:7.0f})  {share:5.1%} of peak ({best_share:5.1%})"
        )
    ratios = {}
    for name in ("gpt2", "llama"):
        if f"trivium {name}" in rates:
            mine, other = (next(e for e in entries if e.name == f"{who} {name}") for who in ("trivium", "transformers"))
            pairs = [b / a for a, b in zip(mine.seconds, other.seconds, strict=True)]
            ratios[name] = statistics.median(pairs)
            print(f"  trivium / transformers {name}: {ratios[name]:.2f}x (median of {len(pairs)} pairs)")
    return ratios


def packing(rounds: int) -> dict[str, float]:
    """Useful tokens a second on instruction-length examples: our packed rows, our padded ones, those of transformers.

    Ours leaves padding out of the output layer and the loss already, so that packing saves less than it does there.
    """
    from transformers import LlamaConfig as HFLlamaConfig
    from transformers import LlamaForCausalLM

    lengths = instruction_lengths()
    config = LlamaConfig(vocabulary_size=VOCABULARY, width=WIDTH, layers=LAYERS, heads=HEADS, inner_width=LLAMA_INNER,
                         context_tokens=PACKED_CONTEXT, tied=True)  # fmt: skip
    model, other = Llama(config), LlamaForCausalLM(HFLlamaConfig(**config.to_hf()))
    packed, padded = packed_batches(lengths), padded_batches(lengths)

    def mine(batch: CausalBatch) -> Tensor:
        result = causal(model, batch)
        return result.total / result.count

    def theirs(batch: CausalBatch) -> Tensor:
        labels = batch.tokens.masked_fill(~batch.mask, -100)
        return other(input_ids=batch.tokens, attention_mask=batch.mask.long(), labels=labels).loss

    def run(loss: Callable[[CausalBatch], Tensor], network: torch.nn.Module, batches: list[CausalBatch]) -> float:
        optimiser = torch.optim.AdamW(network.parameters(), lr=3e-4, fused=True)
        loss(batches[0]).backward()  # the first allocates memory
        begin = time.perf_counter()
        for batch in batches:
            loss(batch).backward()
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        return sum(batch.num_tokens for batch in batches) / (time.perf_counter() - begin)

    rows = [(run(mine, model, packed), run(mine, model, padded), run(theirs, other, padded)) for _ in range(rounds)]
    print(f"  lengths of mean {statistics.mean(lengths):.0f}, longest {max(lengths)}; useful tokens a second, medians:")
    for name, rates in zip(("packed", "padded", "transformers, padded"), zip(*rows, strict=True), strict=True):
        print(f"  {name:20s} {statistics.median(rates):7.0f}")
    ratios = {
        "padded": statistics.median(fast / slow for fast, slow, _ in rows),
        "transformers padded": statistics.median(fast / slow for fast, _, slow in rows),
    }
    print("  " + ", ".join(f"packed / {name}: {ratio:.2f}x" for name, ratio in ratios.items()))
    return ratios


def instruction_lengths() -> list[int]:
    """Tokens of 128 tasks with their answers, written by people (Wang et al. 2022, "Self-Instruct"), by GPT-2."""
    tokenizer = load(_SHARED / "tokenizers" / "gpt2")
    lines = (_SHARED / "instructions" / "user_oriented_instructions.jsonl").read_text(encoding="utf-8").splitlines()
    lengths = []
    for task in map(json.loads, lines[:128]):
        example = task["instances"][0]
        whole = "\n".join((task["instruction"], example["input"], example["output"]))
        lengths.append(min(len(tokenizer.encode(whole)), PACKED_CONTEXT))
    return lengths


def packed_batches(lengths: list[int]) -> list[CausalBatch]:
    """First-fit-decreasing into rows of the context, eight rows a batch."""
    rows: list[list[int]] = []
    for length in sorted(lengths, reverse=True):
        for row in rows:
            if sum(row) + length <= PACKED_CONTEXT:
                row.append(length)
                break
        else:
            rows.append([length])
    batches = []
    for start in range(0, len(rows), ROWS):
        chosen = rows[start : start + ROWS]
        segments = torch.full((len(chosen), PACKED_CONTEXT), -1)
        for r, row in enumerate(chosen):
            at = 0
            for number, length in enumerate(row):
                segments[r, at : at + length] = number
                at += length
        batches.append(_random_batch(segments >= 0, torch.tensor([sum(row) for row in chosen]), segments))
    return batches


def padded_batches(lengths: list[int]) -> list[CausalBatch]:
    """Eight examples a batch in the order they come, padded to the longest of them."""
    batches = []
    for start in range(0, len(lengths), ROWS):
        sizes = torch.tensor(lengths[start : start + ROWS])
        mask = torch.arange(int(sizes.max())) < sizes[:, None]
        batches.append(_random_batch(mask, sizes, None))
    return batches


def _random_batch(mask: Tensor, lengths: Tensor, segments: Tensor | None) -> CausalBatch:
    tokens = torch.randint(VOCABULARY, mask.shape)
    return CausalBatch(tokens=tokens, targets=tokens.roll(-1, 1), mask=mask, lengths=lengths, segments=segments)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--compile", action="store_true", help="also compiled, on both sides")
    parser.add_argument("--packing", action="store_true", help="also packed against padded rows")
    options = parser.parse_args()
    keep_freed_memory()
    torch.manual_seed(0)
    results: dict[str, object] = {}
    for compiled in [False, True] if options.compile else [False]:
        entries = contenders(compiled)
        peak = alternate(entries, options.rounds)
        title = "compiled" if compiled else "eager"
        results[title] = report(entries, peak, title)
    if options.packing:
        results["packing"] = packing(max(2, options.rounds // 2))
    print(json.dumps(results))


if __name__ == "__main__":
    main()
