"""From raw text to tokens: encoding and near-copies beside their peers, and the whole of `prepare`.

    python benchmarks/data.py               # some minutes
    python benchmarks/data.py --smoke       # a minute: less text, one round
    python benchmarks/data.py --data PATH   # the public data, if not in ../shared/data

Encoding: GPT-2's vocabulary over real documents against Hugging Face `tokenizers`; contenders take turns. Near-copies:
see benchmarks/dedup.py, whose measurement this is. `prepare`: novels, speeches, web pages, articles and news in 23
languages, in processes of their own, then twice as much text (the second half with every word reversed, so that nothing
of it is a copy): seconds should double, and peak memory stay.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import tokenizers as hugging_face
from dedup import measure, planted, real_documents

from trivium.tokenizers import load

_REPOSITORY = Path(__file__).resolve().parent.parent
_SHARED = Path(os.environ.get("TRIVIUM_SHARED", _REPOSITORY.parent / "shared" / "data"))
_SETS = ("litbank_novels", "pd_text", "web_text", "wikitext2", "ntrex")
_PREPARE = """
import resource, sys
from pathlib import Path
from trivium.recipes.prepare import PrepareConfig, WorkConfig, prepare
folder, output, processes = sys.argv[1:]
prepared = prepare(
    PrepareConfig(
        sources=(folder,), output=Path(output), vocabulary_size=16_000, work=WorkConfig(processes=int(processes))
    ),
    silent=True,
)
# Not ru_maxrss: a process inherits that of the one that started it.
own = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(prepared.manifest["bytes_in"], prepared.manifest["documents_in"], prepared.manifest["tokens"], own, children)
"""


def encoding(data: Path, rounds: int, smoke: bool) -> None:
    """Megabytes a second by both, with one thread and with all, and whether the ids are equal."""
    texts = [text for text in real_documents(data) if len(text) > 2000][: 300 if smoke else 3000]
    size = sum(len(text.encode()) for text in texts)
    ours = load(data / "tokenizers" / "gpt2")
    theirs = hugging_face.Tokenizer.from_str(ours.files()["tokenizer.json"])
    ways: dict[str, tuple[Callable[[], list[list[int]]], Callable[[], list[list[int]]]]] = {
        "one thread": (
            lambda: [ours.encode(text) for text in texts],
            lambda: [theirs.encode(text, add_special_tokens=False).ids for text in texts],
        ),
        "all threads": (
            lambda: ours.encode_batch(texts),
            lambda: [found.ids for found in theirs.encode_batch(texts, add_special_tokens=False)],
        ),
    }
    print(f"encoding by GPT-2's vocabulary, {size / 1e6:.1f} MB in {len(texts)} documents:")
    for way, works in ways.items():
        seconds: list[list[float]] = []
        answers: list[list[list[int]]] = []
        for _ in range(rounds):
            seconds.append([])
            answers = []
            for work in works:
                start = time.perf_counter()
                answers.append(work())
                seconds[-1].append(time.perf_counter() - start)
        fast, slow = (size / statistics.median(taken) / 1e6 for taken in zip(*seconds, strict=True))
        ratio = statistics.median(other / own for own, other in seconds)
        told = "equal" if answers[0] == answers[1] else "DIFFERENT"
        print(f"  {way}: trivium {fast:.1f} MB/s, tokenizers {slow:.1f}: {ratio:.1f} x, ids {told}")
    print("  the goal is 5 x with one thread")


def corpus(data: Path, folder: Path, smoke: bool, marked: bool) -> None:
    """The public sets as a folder of text files; ``marked`` makes other text of the same size of them."""
    for name in _SETS[2:] if smoke else _SETS:
        for path in sorted((data / name).iterdir()):
            if path.suffix == ".zip":
                with zipfile.ZipFile(path) as archive:
                    members = [(m, archive.read(m)) for m in archive.namelist() if m.endswith(".txt")]
            elif path.suffix == ".txt":
                members = [(path.name, path.read_bytes())]
            else:
                continue
            for member, content in members:
                text = content.decode("utf-8", "replace")
                if marked:
                    text = " ".join(word[::-1] for word in text.split(" "))
                target = folder / name / ("marked" if marked else "plain") / member.replace("/", "-")
                target.parent.mkdir(parents=True, exist_ok=True)
                # Pieces of some pages: a corpus is many documents, and a novel is one.
                for start in range(0, len(text), 20_000):
                    target.with_name(f"{target.stem}-{start // 20_000:04}.txt").write_text(text[start : start + 20_000])


def preparing(data: Path, smoke: bool) -> None:
    """Seconds and peak memory of the whole pipeline, for the text and for twice the text."""
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "text"
        corpus(data, folder, smoke, marked=False)
        once = _prepared(folder, Path(scratch) / "once", cores)
        alone = _prepared(folder, Path(scratch) / "alone", 1)
        corpus(data, folder, smoke, marked=True)
        twice = _prepared(folder, Path(scratch) / "twice", cores)
    print(f"prepare: {once['documents']} documents, {once['bytes'] / 1e6:.1f} MB")
    for name, found in ((f"{cores} processes", once), ("1 process", alone), ("twice the text", twice)):
        print(
            f"  {name:<15} {found['seconds']:6.1f} s  {found['bytes'] / found['seconds'] / 1e6:5.2f} MB/s  "
            f"peak {found['own'] / 1024:.0f} MiB, largest worker {found['worker'] / 1024:.0f} MiB"
        )
    size = twice["bytes"] / once["bytes"]
    print(
        f"  {size:.2f} x the text takes {twice['seconds'] / once['seconds']:.2f} x the time and "
        f"{twice['own'] / once['own']:.2f} x the memory"
    )


def _prepared(folder: Path, output: Path, processes: int) -> dict[str, float]:
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", _PREPARE, str(folder), str(output), str(processes)],
        check=True,
        capture_output=True,
        text=True,
        cwd=_REPOSITORY,
    )
    seconds = time.perf_counter() - start
    numbers = [int(word) for word in done.stdout.split()]
    shutil.rmtree(output)
    return {"seconds": seconds, **dict(zip(("bytes", "documents", "tokens", "own", "worker"), numbers, strict=True))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="less text, one round")
    parser.add_argument("--data", type=Path, default=_SHARED, help="the public data")
    asked = parser.parse_args()
    encoding(asked.data, 1 if asked.smoke else 5, asked.smoke)
    texts = real_documents(asked.data)
    if asked.smoke:
        texts = texts[:: len(texts) // 300]
    everything, pairs = planted(texts, len(texts) // 10)
    measure(everything, pairs, len(texts), 1 if asked.smoke else 3)
    preparing(asked.data, asked.smoke)


if __name__ == "__main__":
    main()
