"""Whether encoding one long run of a character takes time in proportion to its length, for every kind of vocabulary.

    python benchmarks/long_runs.py                      # what is trained here
    python benchmarks/long_runs.py --files FOLDER       # published files as well

Milliseconds of process time, the least of three, at 64 KiB, 512 KiB and 4 MiB. Eight times the text is to take eight
times as long, more where it leaves the caches and where `tokenizers` takes over from `tiktoken`, whose stack white
space overflows: so the goal is asked of the last two.
"""

import argparse
from pathlib import Path
from time import process_time

from trivium import tokenizers
from trivium.tokenizers import Tokenizer

SIZES = (1 << 16, 1 << 19, 1 << 22)
CHARACTERS = ("a", " ", "\n", "^", "🙂", "東")
GOAL = 24.0
"""Most that 4 MiB may take in 512 KiB: three times in proportion, and a third of what a quadratic would."""
TRAINED = {"byte_bpe": 300, "bpe": 100, "wordpiece": 100, "unigram": 60, "word": None, "character": None}
FILES = ("gpt2", "bert/bert-base-cased-vocab.txt", "bert/bert-base-uncased-vocab.txt", "t5", "clip", "tiktoken")
TEXTS = ["the cat sat on the mat, and the rat ran after the cat", "how much is the fish? as much as that dish"] * 20


def milliseconds(tokenizer: Tokenizer, text: str) -> float:
    """The least of three."""
    taken = []
    for _ in range(3):
        began = process_time()
        tokenizer.encode(text)
        taken.append(1000 * (process_time() - began))
    return min(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=Path, help="folder of published vocabularies")
    options = parser.parse_args()
    contenders = {
        kind: tokenizers.train(TEXTS, kind=kind, vocabulary_size=size)  # pyright: ignore[reportArgumentType]
        for kind, size in TRAINED.items()
    }
    if options.files is not None:
        contenders |= {name: tokenizers.load(options.files / name) for name in FILES}
    worst = 0.0
    for name, tokenizer in contenders.items():
        for character in CHARACTERS:
            times = [milliseconds(tokenizer, character * (size // len(character.encode()))) for size in SIZES]
            ratio = times[2] / max(times[1], 1.0)  # below a millisecond there is nothing to see
            worst = max(worst, ratio)
            print(f"{name:<34} {character!r:<5} {times[0]:9.2f} {times[1]:9.2f} {times[2]:10.2f}   {ratio:5.1f}x")
    print(f"{'met' if worst <= GOAL else 'MISSED'}: at most {worst:.1f}x for 8x the text, the goal is {GOAL:g}x")


if __name__ == "__main__":
    main()
