"""Near-copies found a second, ours against datasketch: signatures and clusters, in one process.

    python benchmarks/dedup.py               # some minutes
    python benchmarks/dedup.py --smoke       # less than a minute: a tenth of the documents, one round
    python benchmarks/dedup.py --data PATH   # the public data, if not in ../shared/data

Documents are real: web pages, encyclopedia articles, and pieces of novels of 100 to 3,000 words; planted among them are
copies of some, verbatim, recased, with every twentieth word edited, and shifted by a tenth. All contenders use shingles
of the same length, signatures of 128 entries and 32 bands of 4 rows, and compare the signatures of what meets in a band
with the same threshold. They take turns, so that a busy machine is busy for all of them.
"""

import argparse
import json
import random
import re
import statistics
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import datasketch
import numpy as np

from trivium.data.dedup.lsh import clusters
from trivium.data.dedup.minhash import MinHashConfig, signatures

GOAL = 3.0
CONFIG = MinHashConfig()
WORD = re.compile(r"\w+")


def real_documents(folder: Path) -> list[str]:
    """All the English text of three public sets, in documents."""
    pages = (folder / "web_text" / "c4_demo.jsonl").read_text(encoding="utf-8").strip("\n").split("\n")
    texts = [json.loads(page)["text"] for page in pages]
    texts += (folder / "web_text" / "wiki_demo.txt").read_text(encoding="utf-8").split("\n")
    for name in ("test.txt", "valid.txt"):
        texts += re.split(r"\n(?= = [^=])", (folder / "wikitext2" / name).read_text(encoding="utf-8"))
    draw = random.Random(1)
    for path in sorted((folder / "litbank_novels").glob("*.zip")):
        with zipfile.ZipFile(path) as novels:
            for name in novels.namelist():
                words, begin = novels.read(name).decode("utf-8").split(" "), 0
                while begin < len(words):
                    length = draw.choice((100, 300, 1000, 3000))
                    texts.append(" ".join(words[begin : begin + length]))
                    begin += length
    return [text for text in texts if len(text.split()) >= 20]


def verbatim(words: list[str], _: random.Random, __: list[str]) -> list[str]:
    return words


def recased(words: list[str], draw: random.Random, _: list[str]) -> list[str]:
    return [draw.choice((str.upper, str.title, str.lower))(word) + draw.choice(("", " ", "\n")) for word in words]


def edited(words: list[str], draw: random.Random, others: list[str]) -> list[str]:
    words = list(words)
    for place in draw.sample(range(len(words)), max(1, len(words) // 20)):
        other = draw.choice(others)
        words[place] = draw.choice((other, "", f"{words[place]} {other}"))
    return words


def shifted(words: list[str], draw: random.Random, others: list[str]) -> list[str]:
    tenth = max(1, len(words) // 10)
    return [*words[tenth:], *draw.choices(others, k=tenth)]


PLANTS = (verbatim, recased, edited, shifted)


def planted(texts: list[str], count: int) -> tuple[list[str], dict[str, list[tuple[int, int]]]]:
    """The documents with ``count`` copies of each kind after them, and (original, copy) for each kind."""
    draw = random.Random(2)
    others = " ".join(draw.sample(texts, 100)).split()
    everything, pairs = list(texts), {}
    for plant in PLANTS:
        pairs[plant.__name__] = []
        for original in draw.sample(range(len(texts)), count):
            pairs[plant.__name__].append((original, len(everything)))
            everything.append(" ".join(plant(texts[original].split(), draw, others)))
    return everything, pairs


def ours(texts: list[str]) -> np.ndarray:
    return clusters(signatures(texts, CONFIG), CONFIG)


def crc32(value: bytes) -> int:
    """A hash in C: the fastest of the standard library."""
    return zlib.crc32(value)


def theirs(texts: list[str], hash_function: Callable[[bytes], int]) -> np.ndarray:
    """`MinHash.update_batch`, which is ten times its loop, then `MinHashLSH.query` and `insert`; each verified."""
    length, entries = CONFIG.shingle_words, CONFIG.entries
    index = datasketch.MinHashLSH(num_perm=entries, params=(CONFIG.bands, CONFIG.rows))
    empty = datasketch.MinHash(num_perm=entries, hashfunc=hash_function)
    made: list[datasketch.MinHash] = []
    first = np.arange(len(texts))
    for number, text in enumerate(texts):
        words = WORD.findall(text.casefold())
        found = empty.copy()
        found.update_batch({" ".join(words[i : i + length]).encode() for i in range(max(len(words) - length + 1, 1))})
        met = np.array(index.query(found), dtype=np.int64).tolist()
        near = [other for other in met if found.jaccard(made[other]) >= CONFIG.threshold]
        if near:
            first[number] = first[near].min()
        index.insert(number, found, check_duplication=False)
        made.append(found)
    return first


CONTENDERS: dict[str, Callable[[list[str]], np.ndarray]] = {
    "trivium": ours,
    "datasketch, sha1": lambda texts: theirs(texts, datasketch.hashfunc.sha1_hash32),
    "datasketch, crc32": lambda texts: theirs(texts, crc32),
}


def measure(texts: list[str], pairs: dict[str, list[tuple[int, int]]], distinct: int, rounds: int) -> None:
    size = sum(len(text.encode()) for text in texts)
    print(f"{len(texts)} documents, {size / 1e6:.1f} MB, {sum(map(len, pairs.values()))} of them planted")
    seconds: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    answers = {name: work(texts[:100]) for name, work in CONTENDERS.items()}  # warms up
    for turn in range(rounds):
        names = list(CONTENDERS)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            start = time.perf_counter()
            answers[name] = CONTENDERS[name](texts)
            seconds[name].append(time.perf_counter() - start)
    for name, taken in seconds.items():
        first, middle = answers[name], statistics.median(taken)
        ratio = statistics.median(b / a for a, b in zip(seconds["trivium"], taken, strict=True))
        recalls = ", ".join(
            f"{kind} {100 * np.mean([first[one] == first[other] for one, other in found]):.1f}"
            for kind, found in pairs.items()
        )
        false = int((first[:distinct] != np.arange(distinct)).sum())
        print(f"  {name:<18} {len(texts) / middle:8.0f} documents/s, {size / middle / 1e6:6.1f} MB/s", end="")
        print("" if name == "trivium" else f", ours is {ratio:.1f} x")
        print(f"  {'':<18} found, %: {recalls}; distinct ones joined: {false} of {distinct}")
    ratio = min(
        statistics.median(b / a for a, b in zip(seconds["trivium"], taken, strict=True))
        for name, taken in seconds.items()
        if name != "trivium"
    )
    print(f"  {'met' if ratio >= GOAL else 'MISSED'}: {ratio:.1f} x the faster of them, the goal is {GOAL}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="turns of each contender")
    parser.add_argument("--smoke", action="store_true", help="a tenth of the documents, one round")
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data")
    options = parser.parse_args()
    texts = real_documents(options.data)
    if options.smoke:
        texts = random.Random(0).sample(texts, len(texts) // 10)
    everything, pairs = planted(texts, 50 if options.smoke else 400)
    print(f"numpy {np.__version__}, datasketch {datasketch.__version__}, one thread of Python")
    measure(everything, pairs, len(texts), 1 if options.smoke else options.rounds)


if __name__ == "__main__":
    main()
