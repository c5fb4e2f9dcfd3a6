"""A step of reinforcement learning beside TRL's, and the memory of PPO beside that of supervised training.

    PYTHONPATH=FOLDER python benchmarks/alignment.py            # some ten minutes on two cores
    PYTHONPATH=FOLDER python benchmarks/alignment.py --smoke    # two minutes: a small model, two steps

FOLDER is where TRL is: `pip install --target FOLDER --no-deps -r benchmarks/envs/alignment.txt`. TRL 1.12.0 is the last
that has a PPO trainer, in `trl.experimental.ppo`. Without it only the memory is measured.

PPO: eight prompts of 32 tokens, an answer of 64 to each, four passes over them in one mini-batch each, a KL penalty
towards a frozen copy; rewards come from a network of the policy's shape. TRL has four networks in memory: policy,
reference, reward and value. GRPO: two prompts, four answers each, one pass, a KL penalty; the reward is a cheap
function. Both: GPT-2 of six layers of width 384, vocabulary 8,192, random weights, fp32, fused AdamW, no dropout,
temperature 1. Nothing ends an answer, so every one is 64 tokens long on either side, which both sides check. Of theirs
nothing is logged, evaluated, saved or recomputed (gradient checkpointing is on in TRL unless turned off).

A step is all of it: sampling, scoring, updating. Each side runs in a process of its own, in turns, and gives the median
of its steps after those that warm up, and its peak RSS; the ratio is the median over rounds of theirs / ours.

Memory: peak tensor bytes (`trivium.planning.measured`), from before the model is built, of PPO with LoRA on a GPT-2 of
124 million parameters, and of supervised training of the same LoRA on the same rows. Goal: at most 1.4 times as many.
"""

import argparse
import dataclasses
import importlib.metadata
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from peers.settings import Settings, measured, prompt_ids

from trivium.adapters.attach import attach
from trivium.adapters.lora import LoRAConfig
from trivium.adapters.routing import activate, using
from trivium.data.batches import CausalBatch
from trivium.lm.local import LocalModel
from trivium.models.gpt2 import GPT2, GPT2Config
from trivium.nn.classification_head import ClassificationHead
from trivium.objectives.causal import causal
from trivium.planning.measured import peak_tensor_bytes
from trivium.runtime.allocator import keep_freed_memory
from trivium.training import ppo as policies
from trivium.training.learners.policy_config import method_config
from trivium.training.optimisers import OptimiserConfig, build_optimisers

BYTES_GOAL = 1.4
QUIET = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "PYTHONWARNINGS": "ignore",
    "TRANSFORMERS_VERBOSITY": "error",
    "TRL_EXPERIMENTAL_SILENCE": "1",
}
"""For the processes: they reach for no network, and do not speak of what changes in later versions."""
LORA = LoRAConfig(rank=8, alpha=16, targets="all-linear")


PPO = Settings(prompts=8, answers=1, epochs=4, kl_weight=0.05)
GRPO = Settings(prompts=2, answers=4, epochs=1, kl_weight=0.04)
MEMORY = Settings(
    model=GPT2Config(), prompts=4, answers=1, prompt_tokens=128, answer_tokens=128, epochs=1, kl_weight=0.05, steps=2
)
SMALL = GPT2Config(vocabulary_size=512, width=64, layers=2, heads=2, context_tokens=256)
KINDS = {"ppo": PPO, "grpo": GRPO, "memory": MEMORY}


def ours_ppo(settings: Settings) -> dict[str, float]:
    """Our PPO on one base: policy, reward model and critic are LoRAs and heads on it, the reference is the base."""
    model, ppo, judged = _on_one_base(settings, method="ppo")
    return _timed(settings, model, ppo, judged)


def ours_grpo(settings: Settings) -> dict[str, float]:
    """Our GRPO; the reward is the share of small ids."""
    model, ppo, _ = _on_one_base(settings, method="grpo")
    half = settings.model.vocabulary_size // 2

    def small(rows: list[list[int]]) -> list[float]:
        return [sum(token < half for token in row[settings.prompt_tokens :]) / settings.answer_tokens for row in rows]

    return _timed(settings, model, ppo, small)


def ours_memory(settings: Settings) -> dict[str, float]:
    """PPO with the LoRA of `supervised` on as many rows of the same length."""

    def work() -> None:
        model, ppo, judged = _on_one_base(settings, method="ppo")
        for _ in _steps(settings, model, ppo, judged):
            pass

    return {"peak_tensor_mib": peak_tensor_bytes(work) / 2**20}


Judged = Callable[[list[list[int]]], list[float]]


def _on_one_base(settings: Settings, *, method: str) -> tuple[LocalModel, policies.PPO, Judged]:
    """The policy with all that belongs to it, and a reward model on the same base."""
    optimiser = OptimiserConfig(learning_rate=settings.learning_rate, weight_decay=0.0)
    usual = method_config(method, optimiser=optimiser, epochs=settings.epochs, temperature=settings.temperature)
    config = dataclasses.replace(usual, penalty=dataclasses.replace(usual.penalty, weight=settings.kl_weight))
    model = LocalModel(GPT2(settings.model))
    ppo = policies.PPO(model, config, adapter=LORA, longest_answer=settings.answer_tokens)
    attach(model.network, "reward", LORA)
    activate(model.network, "policy")
    score = ClassificationHead(settings.model.width, 1, pooling="last")

    @torch.no_grad()
    def judged(rows: list[list[int]]) -> list[float]:
        tokens = torch.tensor(rows)
        with using(model.network, "reward"):
            return score(model.network(tokens).hidden)[:, 0].tolist()

    return model, ppo, judged


def _steps(settings: Settings, model: LocalModel, ppo: policies.PPO, judged: Judged) -> Iterator[float]:
    """Seconds of each step: sampling, judging, updating."""
    prompts = prompt_ids(settings).tolist()
    for step in range(settings.warm_up + settings.steps):
        began = time.perf_counter()
        asked = prompts[step * settings.prompts : (step + 1) * settings.prompts]
        asked = [prompt for prompt in asked for _ in range(settings.answers)]
        seeds = range(step * settings.rows, (step + 1) * settings.rows)
        written = model.sample(asked, seeds, max_new_tokens=settings.answer_tokens, temperature=settings.temperature)
        assert all(len(answer.token_ids) == settings.answer_tokens for answer in written)
        texts = [[*prompt, *answer.token_ids] for prompt, answer in zip(asked, written, strict=True)]
        ppo.step(asked, written, judged(texts))
        yield time.perf_counter() - began


def _timed(settings: Settings, model: LocalModel, ppo: policies.PPO, judged: Judged) -> dict[str, float]:
    return measured(settings, list(_steps(settings, model, ppo, judged))[settings.warm_up :])


def supervised(settings: Settings) -> dict[str, float]:
    """LoRA trained on the answers of as many rows as PPO has, of the same length."""
    rows, length = settings.rows, settings.prompt_tokens + settings.answer_tokens
    ids = torch.randint(settings.model.vocabulary_size, (rows, length))
    mask = torch.zeros_like(ids, dtype=torch.bool)
    mask[:, settings.prompt_tokens - 1 : -1] = True  # whose next token is of the answer
    batch = CausalBatch(tokens=ids, targets=ids.roll(-1, dims=1), mask=mask, lengths=torch.full((rows,), length))

    def work() -> None:
        network = GPT2(settings.model)
        attach(network, "tuned", LORA)
        network.train()
        optimisers = build_optimisers(network, OptimiserConfig(learning_rate=settings.learning_rate))
        for _ in range(settings.warm_up + settings.steps):
            found = causal(network, batch)
            (found.total / found.count).backward()
            optimisers.step()
            optimisers.zero_gradients()

    return {"peak_tensor_mib": peak_tensor_bytes(work) / 2**20}


def contender(kind: str, side: str) -> Callable[[Settings], dict[str, float]]:
    """One side of a kind."""
    if kind == "memory":
        return ours_memory if side == "trivium" else supervised
    if side == "trivium":
        return ours_ppo if kind == "ppo" else ours_grpo
    from peers import trl_rl  # where TRL is installed

    return trl_rl.ppo if kind == "ppo" else trl_rl.grpo


def in_process(kind: str, side: str, *, smoke: bool, threads: int) -> dict[str, float]:
    """One side in a fresh process."""
    words = [sys.executable, __file__, "--kind", kind, "--side", side, *(["--smoke"] if smoke else [])]
    environment = os.environ | QUIET | {"OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def report(kind: str, found: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """A line of a kind, and its figures: medians over the rounds."""
    medians = {
        side: {name: statistics.median(one[name] for one in each) for name in each[0]} for side, each in found.items()
    }
    ours, theirs = medians["trivium"], medians["theirs"]
    if kind == "memory":
        ratio = ours["peak_tensor_mib"] / theirs["peak_tensor_mib"]
        print(f"PPO: {ratio:.2f} times the peak tensor bytes of supervised LoRA (goal at most {BYTES_GOAL}):", end=" ")
        print(f"{ours['peak_tensor_mib']:.0f} MiB to {theirs['peak_tensor_mib']:.0f} MiB", flush=True)
    else:
        ratio = statistics.median(
            slow["step_s"] / fast["step_s"] for slow, fast in zip(found["theirs"], found["trivium"], strict=True)
        )
        print(f"{kind.upper()} step: {ratio:.2f}x faster than trl {importlib.metadata.version('trl')}", flush=True)
        for side, one in medians.items():
            print(f"  {side:8s} {one['step_s']:6.2f} s a step  {one['tokens_per_s']:6.0f} generated tokens/s", end="")
            print(f"  {one['peak_rss_mib']:6.0f} MiB of RSS at most", flush=True)
    return {"kind": kind, "ratio": ratio, **medians}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=KINDS, help="only this one")
    parser.add_argument("--side", choices=("trivium", "theirs"), help="only this one, in this process")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--smoke", action="store_true", help="a small model, two steps, one round")
    asked = parser.parse_args()
    if asked.side is not None:
        if asked.kind is None:
            parser.error("--side needs --kind")
        if asked.kind != "memory":
            keep_freed_memory()
        settings = KINDS[asked.kind]
        if asked.smoke:
            settings = dataclasses.replace(settings, model=SMALL, steps=2)
        print(json.dumps(contender(asked.kind, asked.side)(settings)))
        return
    results = []
    for kind in [asked.kind] if asked.kind else KINDS:
        if kind != "memory" and importlib.util.find_spec("trl") is None:
            print(f"{kind}: trl is not installed, see benchmarks/envs/alignment.txt")
            continue
        found: dict[str, list[dict[str, float]]] = {"trivium": [], "theirs": []}
        for _ in range(1 if asked.smoke or kind == "memory" else asked.rounds):
            for side, each in found.items():
                each.append(in_process(kind, side, smoke=asked.smoke, threads=asked.threads))
        results.append(report(kind, found))
    print(json.dumps(results))


if __name__ == "__main__":
    main()
