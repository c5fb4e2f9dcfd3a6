"""Many requests whose answers end at different lengths, and one whose text repeats itself; in one process.

    python benchmarks/batching.py            # about ten minutes on two cores
    python benchmarks/batching.py --smoke    # a minute: the small model, one round

1. 64 requests: continuous batching in 16 slots against `transformers`' `generate` in batches of 16, as they come.
   A batch goes on until its longest answer ends, and so `generate` is told that length for each batch; what it
   computes for answers that have ended is not counted for either side.
2. Prompt look-up against plain greedy decoding, both ours, on a model that was trained for a minute on log lines.
   The answers are the same tokens.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable, Iterator

import torch
from decoding import LARGE, SMALL, theirs, twin

from trivium.generation.decode import decode
from trivium.generation.engine import Engine
from trivium.generation.request import Request, requests
from trivium.generation.settings import GenerationSettings
from trivium.generation.speculation import PromptLookup, speculate
from trivium.models.llama import Llama, LlamaConfig
from trivium.runtime.allocator import keep_freed_memory
from trivium.tokenizers import train

REQUESTS, BATCH, LONGEST = 64, 16, 128
GOAL_BATCHING, GOAL_LOOKUP = 2.5, 1.5


def loads(vocabulary: int) -> tuple[list[list[int]], list[int]]:
    """Prompts of 8 to 64 tokens, and how long each answer becomes: many short, some long (log-normal, median 24)."""
    chance = random.Random(0)
    prompts = [[chance.randrange(vocabulary) for _ in range(chance.randint(8, 64))] for _ in range(REQUESTS)]
    return prompts, [min(LONGEST, max(1, round(chance.lognormvariate(3.2, 0.9)))) for _ in range(REQUESTS)]


def continuous(model: Llama, prompts: list[list[int]], lengths: list[int]) -> list[list[int]]:
    made = [
        request
        for prompt, length in zip(prompts, lengths, strict=True)
        for request in requests([prompt], GenerationSettings(max_new_tokens=length))
    ]
    engine = Engine(model, slots=BATCH)
    engine.submit(made)
    while not engine.idle:
        engine.step()
    return [request.token_ids for request in made]


def batches(model: torch.nn.Module, prompts: list[list[int]], lengths: list[int]) -> list[list[int]]:
    answers = []
    for at in range(0, len(prompts), BATCH):
        some = lengths[at : at + BATCH]
        whole = theirs(model, prompts[at : at + BATCH], max(some))
        answers += [answer[:length] for answer, length in zip(whole, some, strict=True)]
    return answers


def measure_batching(name: str, config: LlamaConfig, rounds: int) -> None:
    torch.manual_seed(0)
    model = Llama(config).eval()
    other = twin(model)
    prompts, lengths = loads(config.vocabulary_size)
    contenders: dict[str, Callable[[], list[list[int]]]] = {
        "trivium": lambda: continuous(model, prompts, lengths),
        "transformers": lambda: batches(other, prompts, lengths),
    }
    answers = {who: work() for who, work in contenders.items()}  # also warms up
    seconds = _in_turns(contenders, rounds)
    agree = sum(a == b for a, b in zip(*answers.values(), strict=True))
    print(f"\n{name}: {REQUESTS} requests, {sum(lengths)} tokens of answers, the longest {max(lengths)}")
    for who, taken in seconds.items():
        print(f"  {who:<13} {sum(lengths) / statistics.median(taken):7.1f} tokens/s")
    _tell(seconds["transformers"], seconds["trivium"], GOAL_BATCHING)
    print(f"  {agree}/{REQUESTS} answers are the same tokens")


def log_lines(count: int, seed: int) -> Iterator[str]:
    """What programs write: the same few sentences with other numbers."""
    chance = random.Random(seed)
    for number in range(count):
        head = f"2026-03-{chance.randint(1, 28):02d} {number % 24:02d}:{chance.randint(0, 59):02d} "
        yield head + chance.choice(
            [
                f"INFO  worker-{chance.randint(1, 4)}: job {chance.randint(1000, 9999)} took {number % 900} ms",
                f"WARN  scheduler: queue is longer than expected, {chance.randint(10, 99)} jobs are waiting",
                f'{{"level": "debug", "message": "segment was compacted", "bytes": {chance.randint(10**5, 10**6)}}}',
            ]
        )


def trained_on_logs(steps: int) -> tuple[Llama, list[list[int]]]:
    """A 6 x 288 model that has read log lines for about a minute, and prompts of 12 lines each."""
    text = "\n".join(log_lines(6000, seed=0))
    tokenizer = train([text], kind="byte_bpe", vocabulary_size=1024)
    ids = torch.tensor(tokenizer.encode(text))
    torch.manual_seed(0)
    model = Llama(LlamaConfig(vocabulary_size=1024, width=288, layers=6, heads=6, inner_width=768, tied=True))
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95))
    for step in range(steps):
        starts = torch.randint(len(ids) - 257, (8,)).tolist()
        rows = torch.stack([ids[start : start + 257] for start in starts])
        loss = torch.nn.functional.cross_entropy(
            model.head(model(rows[:, :-1]).hidden).flatten(0, 1), rows[:, 1:].flatten()
        )
        optimiser.param_groups[0]["lr"] = 1e-3 * min(1.0, (step + 1) / 20)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    print(
        f"\nPrompt look-up: a model of {sum(p.numel() for p in model.parameters()) / 1e6:.1f}M parameters, trained for"
    )
    print(f"  {steps} steps on log lines to {loss.item():.2f} nats a token")
    return model.eval(), [tokenizer.encode("\n".join(log_lines(12, seed)) + "\n") for seed in range(1, 7)]


def answer(model: Llama, prompts: list[list[int]], new: int, *, lookup: bool) -> tuple[list[Request], int]:
    """The answers, one prompt after the other, and how many passes of the model they took."""
    asked, passes = requests(prompts, GenerationSettings(max_new_tokens=new)), 0
    for request in asked:
        steps = speculate(model, request, PromptLookup(), model.new_state) if lookup else decode(model, [request])
        passes += sum(1 for _ in steps)
    return asked, passes


def measure_lookup(steps: int, rounds: int) -> None:
    model, prompts = trained_on_logs(steps)
    new = 160
    passes = {}

    def run(lookup: bool) -> list[list[int]]:
        asked, passes[lookup] = answer(model, prompts, new, lookup=lookup)
        return [request.token_ids for request in asked]

    contenders = {"plain": lambda: run(False), "look-up": lambda: run(True)}
    answers = {who: work() for who, work in contenders.items()}
    seconds = _in_turns(contenders, rounds)
    total = len(prompts) * new
    for who, taken in seconds.items():
        print(
            f"  {who:<13} {total / statistics.median(taken):7.1f} tokens/s,"
            f" {total / passes[who == 'look-up']:.2f} a pass of the model"
        )
    _tell(seconds["plain"], seconds["look-up"], GOAL_LOOKUP)
    agree = sum(a == b for a, b in zip(*answers.values(), strict=True))
    print(f"  {agree}/{len(prompts)} answers are the same tokens")


def _in_turns(contenders: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each, taking turns: a busy machine is busy for all of them."""
    seconds: dict[str, list[float]] = {who: [] for who in contenders}
    for turn in range(rounds):
        for who in list(contenders) if turn % 2 else list(contenders)[::-1]:
            start = time.perf_counter()
            contenders[who]()
            seconds[who].append(time.perf_counter() - start)
    return seconds


def _tell(slow: list[float], fast: list[float], goal: float) -> None:
    ratio = statistics.median(a / b for a, b in zip(slow, fast, strict=True))
    print(f"  {'met' if ratio >= goal else 'MISSED'}: {ratio:.2f} x, the goal is {goal}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="turns of each contender")
    parser.add_argument("--smoke", action="store_true", help="only the 15M model, one round, a short training")
    options = parser.parse_args()
    keep_freed_memory()  # for all alike
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    rounds = 1 if options.smoke else options.rounds
    measure_batching("LLaMA 15M", SMALL, rounds)
    if not options.smoke:
        measure_batching("LLaMA 110M", LARGE, rounds)
    measure_lookup(40 if options.smoke else 250, rounds)


if __name__ == "__main__":
    main()
