"""What a long text costs a decoder that looks back through a window: time of a token and memory of the state.

    python benchmarks/window.py            # some minutes on two cores
    python benchmarks/window.py --smoke    # half a minute: a smaller model, shorter texts

One text grows from 1,024 to 32,768 tokens. At each length some tokens are written one at a time; the time of one (the
median) and the bytes of all that is remembered are given, for a Mistral that looks at everything, for the same with a
window of 512 tokens, and for `transformers` with the same weights and its cache for sliding windows. All three take
turns at each length. Goal: with a window neither memory nor time grows with the text.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from transformers import DynamicCache, MistralForCausalLM
from transformers import MistralConfig as TheirConfig

from trivium.models.mistral import Mistral, MistralConfig, weight_map
from trivium.nn.weight_map import export
from trivium.runtime.allocator import keep_freed_memory

GOAL = 1.15
"""Most that a token may cost at the end of the longest text, compared with the shortest."""
KIB = 1024


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is measured."""

    width: int
    layers: int
    window: int
    contexts: tuple[int, ...]
    written: int
    """Tokens that are written at each length."""
    piece: int = 512
    """Tokens that are read at once on the way there."""


FULL = Plan(width=256, layers=4, window=512, contexts=(1024, 2048, 4096, 8192, 16384, 32768), written=48)
SMOKE = Plan(width=128, layers=2, window=128, contexts=(256, 1024, 4096), written=24)

Read = Callable[[Tensor, int], Tensor]
"""New tokens ``[1, T]`` of a text that will come to so many -> logits of the last one."""


def ours(config: MistralConfig, weights: dict[str, Tensor]) -> tuple[Read, Callable[[], int]]:
    """Reads on, and tells how many bytes are remembered."""
    model = Mistral(config).eval()
    model.load_state_dict(weights)
    state, room = model.new_state(1, 0), 0

    def read(tokens: Tensor, longest: int) -> Tensor:
        nonlocal state, room
        if longest > room:
            state, room = state.reserve(1, longest), longest
        output = model(tokens, state=state)
        state = output.state
        return model.head(output.hidden[:, -1])

    return read, lambda: sum(leaf.nbytes for leaf in pytree.tree_leaves(state) if isinstance(leaf, Tensor))


def theirs(config: MistralConfig, weights: dict[str, Tensor]) -> tuple[Read, Callable[[], int]]:
    """The same of ``transformers``."""
    file: dict[str, Any] = config.to_hf() | {"attn_implementation": "sdpa"}
    model = MistralForCausalLM(TheirConfig(**file)).eval()
    model.load_state_dict(dict(export(weights, weight_map(config))))
    cache = DynamicCache(config=model.config)

    def read(tokens: Tensor, _: int) -> Tensor:
        return model(tokens, past_key_values=cache, use_cache=True, logits_to_keep=1).logits[:, -1]

    return read, lambda: sum(each.untyped_storage().nbytes() for layer in cache.layers for each in _held(layer))


def _held(layer: Any) -> tuple[Tensor, Tensor]:
    return layer.keys, layer.values


@torch.inference_mode()
def measured(plan: Plan) -> list[dict[str, Any]]:
    """A row for each length of the text and each of the three."""
    torch.manual_seed(0)
    shape: dict[str, Any] = {
        "width": plan.width,
        "layers": plan.layers,
        "heads": plan.width // 32,
        "key_value_heads": plan.width // 64,
    }
    shape |= {
        "vocabulary_size": 2048,
        "inner_width": 3 * plan.width,
        "context_tokens": plan.contexts[-1] + plan.written,
    }
    whole, windowed = MistralConfig(**shape, window_tokens=None), MistralConfig(**shape, window_tokens=plan.window)
    weights = Mistral(windowed).state_dict()
    readers = {
        "everything": ours(whole, weights),
        "window": ours(windowed, weights),
        "transformers": theirs(windowed, weights),
    }
    text = torch.randint(2048, (1, plan.contexts[-1] + plan.written))
    rows, place = [], 0
    for context in plan.contexts:
        end, seconds, logits = context + plan.written, {}, {}
        for name, (read, _) in readers.items():
            for piece in text[:, place:context].split(plan.piece, dim=1):
                read(piece, end)
            seconds[name] = []
            for token in text[:, context:end].split(1, dim=1):
                begin = time.perf_counter()
                logits[name] = read(token, end)
                seconds[name].append(time.perf_counter() - begin)
        torch.testing.assert_close(logits["window"], logits["transformers"], rtol=1e-3, atol=1e-3)
        place = end
        rows += [
            {
                "context": context,
                "reader": name,
                "milliseconds_per_token": 1000 * statistics.median(seconds[name]),
                "state_bytes": remembered(),
            }
            for name, (_, remembered) in readers.items()
        ]
    return rows


def table(rows: list[dict[str, Any]]) -> None:
    """A line a length, the three side by side."""
    names = list(dict.fromkeys(row["reader"] for row in rows))
    print(f"{'':8s}{'ms/token':>{13 * len(names)}s}{'state KiB':>{13 * len(names)}s}")
    print(f"{'context':8s}" + "".join(f"{name:>13s}" for name in names) * 2)
    for context in sorted({row["context"] for row in rows}):
        found = {row["reader"]: row for row in rows if row["context"] == context}
        times = "".join(f"{found[name]['milliseconds_per_token']:13.2f}" for name in names)
        print(f"{context:8d}{times}" + "".join(f"{found[name]['state_bytes'] / KIB:13,.0f}" for name in names))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="a smaller model, shorter texts")
    parser.add_argument("--output", type=Path, help="file for the figures, as JSON")
    asked = parser.parse_args()
    keep_freed_memory()
    plan = SMOKE if asked.smoke else FULL
    rows = measured(plan)
    print(f"a window of {plan.window} tokens, {torch.get_num_threads()} threads\n")
    table(rows)
    window = [row for row in rows if row["reader"] == "window"]
    growth = window[-1]["milliseconds_per_token"] / window[0]["milliseconds_per_token"]
    memory = "flat" if window[-1]["state_bytes"] == window[0]["state_bytes"] else "not flat"
    print(f"\nwith a window, from {plan.contexts[0]:,} to {plan.contexts[-1]:,} tokens: memory is {memory}, ", end="")
    print(f"time x {growth:.2f} (goal: at most {GOAL})")
    if asked.output is not None:
        asked.output.write_text(json.dumps({"plan": asdict(plan), "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
