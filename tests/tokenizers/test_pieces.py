"""The view of the pieces: places to the byte, whatever the kind, and nothing of the text is obeyed."""

import html
import io
import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from trivium import tokenizers
from trivium.tokenizers import Tokenizer
from trivium.tokenizers.pieces import Piece, as_html, as_plain, pieces, printable, with_ids


@pytest.fixture(scope="module")
def byte_bpe() -> Tokenizer:
    return tokenizers.train(["the cat, the dog and the bird"] * 5, vocabulary_size=290)


@settings(max_examples=60)
@given(text=st.text())
def test_pieces_of_a_byte_level_vocabulary_cover_the_text(byte_bpe: Tokenizer, text: str) -> None:
    found = pieces(byte_bpe, text)
    data = text.encode()
    assert [piece.id for piece in found] == byte_bpe.encode(text)
    assert [piece.start for piece in found] == [0, *(piece.end for piece in found)][: len(found)]
    assert b"".join(data[piece.start : piece.end] for piece in found) == data
    for piece in found:
        assert byte_bpe.token_bytes(piece.id) == data[piece.start : piece.end]


def test_places_are_exact_inside_a_character(byte_bpe: Tokenizer) -> None:
    found = pieces(byte_bpe, "a€the")
    assert [(piece.text, piece.start, piece.end) for piece in found] == [
        ("a", 0, 1),
        ("<0xE2>", 1, 2),
        ("<0x82>", 2, 3),
        ("<0xAC>", 3, 4),
        ("the", 4, 7),
    ]


@pytest.mark.parametrize("kind", ["bpe", "wordpiece", "unigram", "word", "character"])
def test_other_kinds_say_where_each_piece_comes_from(kind: str) -> None:
    text = "Größe: the cat\n 漢 the  cats"
    tokenizer = tokenizers.train(
        [text] * 5, kind=kind, **({} if kind in ("word", "character") else {"vocabulary_size": 80})
    )
    found = pieces(tokenizer, text + " €")
    data = (text + " €").encode()
    assert [piece.id for piece in found] == tokenizer.encode(text + " €")
    shown = b"".join(data[piece.start : piece.end] for piece in found)
    assert b"".join(shown.split()) == b"".join(data.split())
    assert all(before.end <= after.start for before, after in itertools.pairwise(found))
    assert [p.text for p in found if p.id == tokenizer.unk_id] and "€" in found[-1].text


def test_special_tokens_are_marked(byte_bpe: Tokenizer) -> None:
    assert [piece.special for piece in pieces(byte_bpe, "<|end|>", special=True)] == [True]
    assert not any(piece.special for piece in pieces(byte_bpe, "<|end|>"))
    assert pieces(byte_bpe, "") == []


def test_published_files(shared_data) -> None:
    bert = tokenizers.load(shared_data / "tokenizers/bert/bert-base-uncased-vocab.txt")
    assert [(p.text, p.start, p.end) for p in pieces(bert, "Éclair unaffable")] == [
        ("Éc", 0, 3),
        ("lai", 3, 6),
        ("r", 6, 7),
        ("una", 8, 11),
        ("ffa", 11, 14),
        ("ble", 14, 17),
    ]
    t5 = tokenizers.load(shared_data / "tokenizers/t5")
    assert "".join(piece.text for piece in pieces(t5, "Hello wide world")) == "Hello wide world"


def test_html_is_whole_escaped_and_says_the_id(byte_bpe: Tokenizer) -> None:
    text = "<script>alert('&')</script>\n\x1b[31m the"
    page = as_html(pieces(byte_bpe, text))
    assert "<script" not in page and "\x1b" not in page and "http" not in page
    shown = html.unescape(re.sub(r"</?(span|div)\b[^>]*>", "", page))
    assert shown == text.replace("\n", "↵\n").replace("\x1b", "␛")
    assert re.findall(r'title="id (\d+),', page) == [str(id) for id in byte_bpe.encode(text)]
    assert "outline" in as_html(pieces(byte_bpe, "<|end|>", special=True)) and "outline" not in page


def test_the_terminal_shows_text_and_obeys_none_of_it(byte_bpe: Tokenizer) -> None:
    shown = with_ids(pieces(byte_bpe, "the cat\n\t[bold]\x1b[2J\x9b"), 400)
    above = shown.plain.split("\n")[0]
    assert above.startswith("the") and " ↵" in above and "⇥" in above and "<0xC2>" in above and "␛" in above
    grounds = [span.style.bgcolor for span in shown.spans if span.style != "dim"]
    assert all(one != other for one, other in itertools.pairwise(grounds))
    for system in ("standard", "truecolor"):
        console = Console(width=400, file=io.StringIO(), force_terminal=True, color_system=system)
        console.print(shown)
        said = console.file.getvalue()
        assert "\x1b[2J" not in said and len(set(re.findall(r"\x1b\[30;(10\d)m", said))) == 4


def test_ids_stand_below_their_pieces_in_lines_of_the_width(byte_bpe: Tokenizer) -> None:
    found = pieces(byte_bpe, "the cat,\nthe dog 漢 and the bird")
    for width in (20, 60, 400, 1):
        lines = with_ids(found, width).plain.split("\n")
        above, below = lines[::3], lines[1::3]
        assert [int(id) for line in below for id in line.split()] == [piece.id for piece in found]
        assert width < 10 or max(cell_len(line) for line in lines) <= width
        assert "".join(above).replace(" ", "").replace("↵", "") == "".join(p.text for p in found).replace(
            " ", ""
        ).replace("\n", "")
        first = [line.split()[0] for line in below]
        assert all(line.startswith(id) for id, line in zip(first, below, strict=True))
    assert with_ids([], 80).plain == ""


def test_plain_pieces_have_bars_between_them(byte_bpe: Tokenizer) -> None:
    found = pieces(byte_bpe, "the\nx\u202e\x1b")
    above, below = as_plain(found).split("\n")
    assert above.split("|")[:3] == ["the", "↵", "x"] and "\x1b" not in above and "\u202e" not in above
    assert below == " ".join(str(piece.id) for piece in found)


def test_a_piece_is_a_value() -> None:
    assert Piece(id=1, text="a", start=0, end=1) == Piece(id=1, text="a", start=0, end=1)


def test_what_a_terminal_would_obey_or_nobody_would_see_is_spelt_out() -> None:
    assert printable("a\x1b[2J\x00\x7f\x9b\u202e\u200b\ufeff\u2066é") == (
        "a␛[2J␀<U+007F><U+009B><U+202E><U+200B><U+FEFF><U+2066>é"
    )
    assert printable("a\tb\nc") == "a⇥b↵\nc" and printable("a\tb", tab="\t") == "a\tb"
