"""Mixtral beside the one in `transformers`, of the same size and weights, alternating in one process.

    python benchmarks/moe.py [--rounds 8]
    python benchmarks/moe.py --smoke    # less than a minute: a smaller model, two rounds

Eight experts, of which a token passes through two; six layers of width 384, six heads, experts of 768, 8,192 pieces:
51 M parameters, a third of them used by a token. Training: 8 rows of 256 tokens a step, the load-balancing loss on
both sides, fp32, fused AdamW; the losses must stay equal. Decoding: greedy, one row and 16 rows of unequal length; the
answers must be equal. `transformers` has two ways to compute experts on a CPU; both take their turns, and the faster
one counts.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file
from torch import Tensor, nn
from transformer import Contender

from trivium.data.batches import CausalBatch
from trivium.generation.decode import decode
from trivium.generation.request import requests
from trivium.generation.settings import GenerationSettings
from trivium.models.mixtral import Mixtral, MixtralConfig, weight_map
from trivium.nn.weight_map import export
from trivium.objectives.causal import causal
from trivium.runtime.allocator import keep_freed_memory

GOAL = 1.5
WAYS = ("grouped_mm", "eager")
"""Of computing experts in `transformers`; the first is its own choice."""
SMALL = MixtralConfig(
    vocabulary_size=2048, width=128, layers=2, heads=4, key_value_heads=2, inner_width=256, context_tokens=512
)
USUAL = MixtralConfig(
    vocabulary_size=8192, width=384, layers=6, heads=6, key_value_heads=2, inner_width=768, context_tokens=512
)
ROWS, LENGTH = 8, 256
DECODING = {"1 row": (64,), "16 rows": tuple(8 * (row + 1) for row in range(16))}
"""Tokens of the prompts."""


def twins(config: MixtralConfig) -> tuple[Mixtral, dict[str, nn.Module]]:
    """One random model: ours, and theirs in each of its ways."""
    torch.manual_seed(0)
    model = Mixtral(config)
    with tempfile.TemporaryDirectory() as folder:
        hf = config.to_hf() | {"output_router_logits": True, "pad_token_id": 0}
        Path(folder, "config.json").write_text(json.dumps(hf), encoding="utf-8")
        tensors = dict(export(model.state_dict(), weight_map(config)))
        save_file(tensors, Path(folder, "model.safetensors"), metadata={"format": "pt"})
        network = transformers.MixtralForCausalLM
        return model, {way: network.from_pretrained(folder, experts_implementation=way) for way in WAYS}


def train(config: MixtralConfig, rounds: int) -> float:
    """Prints rates and the ratio; the first turn is left out."""
    model, others = twins(config)

    def ours(batch: CausalBatch) -> Tensor:
        result = causal(model, batch)
        return sum(result.auxiliary.values(), start=result.total) / result.count

    def theirs(network: nn.Module) -> Callable[[CausalBatch], Tensor]:
        return lambda batch: network(input_ids=batch.tokens, labels=batch.targets, shift_labels=batch.targets).loss

    entries = {"trivium": Contender("trivium", ours, list(model.train().parameters()))}
    for way, network in others.items():
        entries[way] = Contender(way, theirs(network), list(network.train().parameters()))
    mask, lengths = torch.ones(ROWS, LENGTH, dtype=torch.bool), torch.full((ROWS,), LENGTH)
    for turn in range(rounds + 1):
        text = torch.randint(config.vocabulary_size, (ROWS, LENGTH + 1))
        batch = CausalBatch(text[:, :-1].contiguous(), text[:, 1:].contiguous(), mask, lengths)
        for name in turned(list(entries), turn):
            entries[name].step(batch)
        losses = [entry.losses[-1] for entry in entries.values()]
        assert max(losses) - min(losses) < 1e-3, losses
    print(f"\ntraining, {ROWS * LENGTH:,} tokens a step: losses equal to 1e-3 after {rounds + 1} updates")
    return told({name: entry.seconds[1:] for name, entry in entries.items()}, ROWS * LENGTH)


def write(config: MixtralConfig, title: str, prompt_tokens: tuple[int, ...], new_tokens: int, rounds: int) -> float:
    """Greedy answers a second, after all have written the same."""
    model, others = twins(config)
    prompts = [torch.randint(2, config.vocabulary_size, (count,)).tolist() for count in prompt_tokens]
    width = max(prompt_tokens)
    padded = torch.tensor([[0] * (width - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])

    def ours() -> list[list[int]]:
        asked = requests(prompts, GenerationSettings(max_new_tokens=new_tokens))
        for _ in decode(model.eval(), asked):
            pass
        return [request.token_ids for request in asked]

    def theirs(network: nn.Module) -> Callable[[], list[list[int]]]:
        how = {"attention_mask": mask, "max_new_tokens": new_tokens, "do_sample": False, "output_router_logits": False}
        return lambda: network.eval().generate(padded, **how)[:, width:].tolist()

    entries = {"trivium": ours} | {way: theirs(network) for way, network in others.items()}
    seconds: dict[str, list[float]] = {name: [] for name in entries}
    for turn in range(rounds + 1):
        answers = {}
        for name in turned(list(entries), turn):
            begin = time.perf_counter()
            answers[name] = entries[name]()
            seconds[name].append(time.perf_counter() - begin)
        assert all(answer == answers["trivium"] for answer in answers.values()), "not all write the same"
    print(f"\ndecoding, {title}: the same {new_tokens} ids each")
    return told({name: taken[1:] for name, taken in seconds.items()}, len(prompts) * new_tokens)


def turned(names: list[str], turn: int) -> list[str]:
    """Each begins in its turn."""
    first = turn % len(names)
    return names[first:] + names[:first]


def told(seconds: dict[str, list[float]], tokens: int) -> float:
    """Prints tokens a second; the least of our ratios to theirs."""
    mine = seconds["trivium"]
    ratios = {}
    for name, taken in seconds.items():
        ratios[name] = statistics.median(b / a for a, b in zip(mine, taken, strict=True))
        print(f"  {name:12s} {tokens / statistics.median(taken):8,.0f} tokens/s")
    ratio = min(ratios[way] for way in WAYS)
    print(f"  {'met' if ratio >= GOAL else 'MISSED'}: {ratio:.2f} x transformers, the goal is {GOAL}")
    return ratio


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=8, help="turns of each contender")
    parser.add_argument("--smoke", action="store_true", help="a smaller model and two rounds")
    options = parser.parse_args()
    keep_freed_memory()  # for all alike
    transformers.logging.set_verbosity_error()
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, {torch.get_num_threads()} threads")
    config, rounds, new_tokens = (SMALL, 2, 16) if options.smoke else (USUAL, options.rounds, 64)
    results = {"training": train(config, rounds)}
    for title, prompt_tokens in DECODING.items():
        results[f"decoding, {title}"] = write(config, title, prompt_tokens, new_tokens, rounds)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
