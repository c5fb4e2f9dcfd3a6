"""Real documents that are all distinct."""

import json
import pathlib
import random
import re
import zipfile

import pytest


@pytest.fixture(scope="session")
def real_documents(shared_data: pathlib.Path) -> list[str]:
    """About 3,000: web pages, encyclopedia articles, and pieces of novels of 50 to 800 words."""
    pages = (shared_data / "web_text" / "c4_demo.jsonl").read_text(encoding="utf-8").strip("\n").split("\n")
    texts = [json.loads(page)["text"] for page in pages]
    texts += (shared_data / "web_text" / "wiki_demo.txt").read_text(encoding="utf-8").split("\n")
    for name in ("test.txt", "valid.txt"):
        text = (shared_data / "wikitext2" / name).read_text(encoding="utf-8")
        texts += re.split(r"\n(?= = [^=])", text)
    draw = random.Random(1)
    with zipfile.ZipFile(shared_data / "litbank_novels" / "novels_1.zip") as novels:
        for name in novels.namelist():
            words = novels.read(name).decode("utf-8").split(" ")
            begin = 0
            while begin < len(words):
                length = draw.choice((50, 100, 200, 400, 800))
                texts.append(" ".join(words[begin : begin + length]))
                begin += length
    return [text for text in texts if len(text.split()) >= 20]
