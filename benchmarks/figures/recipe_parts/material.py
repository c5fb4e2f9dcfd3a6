"""What the recipes of `figures/recipes.py` are taught and tested on, in files as `trivium finetune` reads them.

Made the first time it is asked for, in runs/recipes-data, from sets that the base was not pre-trained on: Multi30k,
Tiny Shakespeare, Genesis in several hands, Cranfield, XQuAD, NTREX, and instructions of people. They are for research:
some of them may not be passed on.
"""

import gzip
import itertools
import json
import os
import pathlib
import re
import zipfile
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from trivium.recipes.instructions import InstructionsConfig, instructions

_REPOSITORY = pathlib.Path(__file__).resolve().parent.parent.parent.parent
_SHARED = pathlib.Path(os.environ.get("TRIVIUM_SHARED", _REPOSITORY.parent / "shared" / "data"))
DATA = _REPOSITORY / "runs" / "recipes-data"
_CAPTIONS = 10_000
_PAIRS, _PAIRS_TESTED = 200, 100
_PASSAGE_CHARACTERS = 800
_TESTED = 60
_DOCUMENTS, _DOCUMENT_CHARACTERS = 24, 1000

AUTHORS = {"king_james": "english-kjv", "modern": "english-web", "cats": "lolcat"}
"""Three who tell Genesis: the King James translators, the World English Bible, and the LOLCat Bible."""


def made(name: str, records: Iterable[Mapping[str, Any]]) -> pathlib.Path:
    """The file of examples of this name."""
    path = DATA / f"{name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")
    return path


def texts(name: str, passages: Iterable[str]) -> pathlib.Path:
    """The same of texts that are trained on as they stand."""
    return made(name, ({"text": passage} for passage in passages))


def passages(text: str) -> list[str]:
    """A long text in pieces that end with a sentence or a line."""
    found = [""]
    for part in re.findall(r".+?(?:[.!?]\s+|\n|\Z)", text, re.DOTALL):
        if found[-1] and len(found[-1]) + len(part) > _PASSAGE_CHARACTERS:
            found.append("")
        found[-1] += part
    return [each.strip() for each in found if each.strip()]


def captions(part: str) -> pathlib.Path:
    """German captions with their English, "train" or "test", put into words by one template."""
    folder = DATA / f"translation-{part}"
    path = folder / "train" / "translation.jsonl"
    if not path.is_file():
        template = DATA / "translation.yaml"
        folder.mkdir(parents=True, exist_ok=True)
        template.write_text(
            "fields: [source, target]\ntemplates:\n  - name: two-lines\n    prompt: |-\n"
            "      German: {{ source }}\n      English:\n    completion: ' {{ target }}'\n",
            encoding="utf-8",
        )
        sides = tuple(_captions(part, language) for language in ("de", "en"))
        instructions(
            InstructionsConfig(
                task="translation",
                sources=sides,
                source_language="German",
                target_language="English",
                templates=template,
                held_out=0.0,
                output=folder,
            )
        )
    return path


def _captions(part: str, language: str) -> pathlib.Path:
    name = "train" if part == "train" else "test_2016_flickr"
    with gzip.open(_SHARED / "nc-multi30k" / f"{name}.{language}.gz", "rt", encoding="utf-8") as lines:
        chosen = list(itertools.islice(lines, _CAPTIONS))
    path = DATA / f"captions-{part}.{language}"
    path.write_text("".join(chosen), encoding="utf-8")
    return path


def speeches() -> tuple[pathlib.Path, pathlib.Path]:
    """(to train on, to test on): what is said in Shakespeare, and what is answered."""
    text = (_SHARED / "tinyshakespeare" / "input.txt").read_text(encoding="utf-8")
    said = [block.partition(":\n")[2].strip() for block in text.split("\n\n")]
    pairs = [
        {"prompt": cue, "completion": reply}
        for cue, reply in itertools.pairwise(said)
        if 40 < len(cue) < 400 and 80 < len(reply) < 400
    ]
    return made("voice", pairs[:_PAIRS]), made("voice-test", pairs[-_PAIRS_TESTED:])


def author(name: str) -> tuple[pathlib.Path, list[str]]:
    """(to train on, passages to test on) of one author: the last fifth is held out, of all about the same chapters."""
    with zipfile.ZipFile(_SHARED / "pd_text" / "genesis.zip") as archive:
        found = passages(archive.read(f"genesis/{AUTHORS[name]}.txt").decode("latin-1"))
    test = len(found) // 5
    return texts(f"author-{name}", found[:-test]), found[-test:][:_TESTED]


def abstracts() -> tuple[pathlib.Path, list[str]]:
    """(to train on, to test on): what engineers write of air that flows."""
    whole = (_SHARED / "unclear-cranfield" / "cran.all.1400").read_text(encoding="utf-8")
    bodies = [re.sub(r"\s+", " ", each.partition("\n.W\n")[2]).strip() for each in re.split(r"(?m)^\.I \d+$", whole)]
    found = [piece for body in bodies for piece in passages(body)]
    return texts("domain", found[:-_TESTED]), found[-_TESTED:]


def documents(language: str = "en") -> list[dict[str, Any]]:
    """Paragraphs of Wikipedia with questions, as SQuAD has them; those that fit in a row."""
    data = json.loads((_SHARED / "xquad" / f"xquad.{language}.json").read_text(encoding="utf-8"))["data"]
    found = [paragraph for article in data for paragraph in article["paragraphs"]]
    return [each for each in found if len(each["context"]) < _DOCUMENT_CHARACTERS]


def facts(which: slice) -> list[tuple[str, str]]:
    """(the sentence up to an answer, the answer) of the questions about these documents."""
    found = []
    for document in documents()[which]:
        for question in document["qas"]:
            answer = question["answers"][0]
            before = document["context"][: answer["answer_start"]]
            sentence = re.split(r"(?<=[.!?]) ", before)[-1].rstrip()
            if len(sentence.split()) >= 4:
                found.append((sentence, answer["text"]))
    return list(dict.fromkeys(found))


NEW, OTHER = slice(0, _DOCUMENTS), slice(-_DOCUMENTS, None)
"""Documents that are learnt, and as many that are not."""


def new_documents() -> pathlib.Path:
    """The documents that are learnt."""
    return texts("knowledge", (document["context"] for document in documents()[NEW]))


def other_documents() -> pathlib.Path:
    """As many that are not."""
    return texts("knowledge-other", (document["context"] for document in documents()[OTHER]))


def german() -> tuple[pathlib.Path, pathlib.Path]:
    """(the text itself, the same as examples): captions, paragraphs of Wikipedia, and Genesis."""
    with zipfile.ZipFile(_SHARED / "pd_text" / "genesis.zip") as archive:
        bible = archive.read("genesis/german.txt").decode("latin-1")
    lines = _captions("train", "de").read_text(encoding="utf-8")
    paragraphs = "\n".join(each["context"] for each in documents("de"))
    whole = [*passages(lines), *passages(paragraphs), *passages(bible)]
    plain = DATA / "german.txt"
    plain.write_text("\n\n".join(whole), encoding="utf-8")
    return plain, texts("german", whole)


def news(language: Literal["german", "english"]) -> tuple[pathlib.Path, list[str]]:
    """(the file, its passages of five sentences each) of the same news in either language."""
    name = {"german": "ref.deu", "english": "src.eng"}[language]
    lines = (_SHARED / "ntrex" / f"newstest2019-{name}.txt").read_text(encoding="utf-8-sig").splitlines()[:200]
    plain = DATA / f"news-{language}.txt"
    plain.write_text("\n".join(lines), encoding="utf-8")
    return plain, ["\n".join(lines[start : start + 5]) for start in range(0, len(lines), 5)]


def conversations() -> tuple[pathlib.Path, pathlib.Path]:
    """(to train on, to test on): instructions with answers, and the best-liked answers of conversations."""
    found = list(_instructions())
    with (_SHARED / "instructions" / "oasst_en_100_tree.jsonl").open(encoding="utf-8") as lines:
        found += [{"messages": list(_best(json.loads(line)["prompt"]))} for line in lines]
    test = found[::10]
    return made("chat", (each for number, each in enumerate(found) if number % 10)), made("chat-test", test)


def _instructions() -> Iterable[dict[str, Any]]:
    for name in ("self_instruct_seed_tasks", "user_oriented_instructions"):
        with (_SHARED / "instructions" / f"{name}.jsonl").open(encoding="utf-8") as lines:
            for task in map(json.loads, lines):
                for instance in task["instances"]:
                    yield {"instruction": task["instruction"], **instance}


def _best(asked: dict[str, Any]) -> Iterable[dict[str, str]]:
    """The first question of a tree and its best-liked answer."""
    answer = min(asked["replies"], key=lambda reply: (reply.get("rank") is None, reply.get("rank") or 0))
    yield {"role": "user", "content": asked["text"]}
    yield {"role": "assistant", "content": answer["text"]}
