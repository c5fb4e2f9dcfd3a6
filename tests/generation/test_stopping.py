"""What of a growing text may be shown, and where it ends."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.generation.stopping import StopText, TokenText


def decode_bytes(ids: Sequence[int]) -> str:
    """A vocabulary of single bytes."""
    return bytes(ids).decode("utf-8", "replace")


def pieces(data: bytes) -> list[str]:
    text = TokenText(decode_bytes)
    return [*(text.push(byte) for byte in data), text.flush()]


def test_a_character_comes_whole() -> None:
    assert pieces("a€😀b".encode()) == ["a", "", "", "€", "", "", "", "😀", "b", ""]


def test_bytes_that_are_no_character_come_as_replacements_and_late() -> None:
    assert "".join(pieces(b"a\xffb\xe2\x82")) == "a\ufffdb\ufffd"
    shown = pieces(b"\xff\xff\xff\xff\xff\xff")
    assert shown[3] == "\ufffd", "only so many bytes can still become a character"
    assert "".join(shown) == "\ufffd" * 6


@given(st.binary(max_size=12) | st.lists(st.sampled_from([0x61, 0x80, 0x9F, 0xE2, 0xF0]), max_size=60).map(bytes))
def test_pieces_together_are_the_whole_text(data: bytes) -> None:
    assert "".join(pieces(data)) == decode_bytes(data)


# Bytes that begin, go on with, end and break characters, several at once as well; and a token without text.
PARTS = [
    b"",
    b"a",
    b" b",
    b"\x80",
    b"\xe2",
    b"\xe2\x82",
    b"\x82\xac",
    b"\xac\xf0\x9f",
    b"\x98",
    b"\x98\x80",
    "é€😀".encode(),
]


@given(st.lists(st.sampled_from(range(len(PARTS))), max_size=60), st.integers(1, 6))
def test_pieces_together_are_the_whole_text_of_any_tokens_however_long(tokens: list[int], times: int) -> None:
    def decode(ids: Sequence[int]) -> str:
        return b"".join(PARTS[i] for i in ids).decode("utf-8", "replace")

    text = TokenText(decode)
    shown = "".join([*(text.push(token) for token in tokens * times), text.flush()])
    assert shown == decode(tokens * times)


@given(st.lists(st.sampled_from(["a", "é", "€", "😀", "▁x"]), max_size=40), st.booleans())
def test_a_vocabulary_that_spells_a_run_of_bytes_as_a_whole_loses_nothing(words: list[str], after: bool) -> None:
    """As in sentencepiece with fallback to bytes: one U+FFFD a byte while any of the run is no character."""
    tokens: list[int | str] = []
    for word in words:
        tokens += [word] if "▁" in word else list(word.encode())

    def decode(ids: Sequence[int]) -> str:
        whole, run = "", b""
        for token in [*(tokens[i] for i in ids), ""]:
            if isinstance(token, int):
                run += bytes([token])
                continue
            try:
                whole += run.decode()
            except UnicodeDecodeError:
                whole += "\ufffd" * len(run)
            whole, run = whole + token.replace("▁", " "), b""
        return whole.removeprefix(" ")

    context = [0] if after and tokens and isinstance(tokens[0], str) else []
    text = TokenText(decode, context)
    new = range(len(context), len(tokens))
    assert "".join([*map(text.push, new), text.flush()]) == decode(range(len(tokens)))[len(decode(context)) :]


@pytest.mark.parametrize("part", [b"", b"\x80", b"\xac\xe2\x82", b"\xf0", b"a\xe2"])
def test_a_step_looks_at_a_few_tokens_only(part: bytes) -> None:
    longest = 0

    def decode(ids: Sequence[int]) -> str:
        nonlocal longest
        longest = max(longest, len(ids))
        return (part * len(ids)).decode("utf-8", "replace")

    text = TokenText(decode)
    shown = "".join([*(text.push(0) for _ in range(300)), text.flush()])
    assert longest <= 20
    assert shown == decode(range(300))


@given(st.text(max_size=8))
def test_a_character_is_never_split(text: str) -> None:
    assert all("\ufffd" not in piece or "\ufffd" in text for piece in pieces(text.encode("utf-8", "replace")))


@given(st.text(max_size=8), st.data())
def test_a_character_is_never_split_however_bytes_are_shared_out_among_tokens(text: str, data: st.DataObject) -> None:
    encoded = text.encode("utf-8", "replace")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(encoded)), max_size=8)))
    tokens = [encoded[a:b] for a, b in zip([0, *cuts], [*cuts, len(encoded)], strict=True)]
    growing = TokenText(lambda ids: b"".join(tokens[i] for i in ids).decode("utf-8", "replace"))
    shown, read = "", b""
    for number, token in enumerate(tokens):
        shown, read = shown + growing.push(number), read + token
        assert shown == read.decode("utf-8", "ignore"), "all whole characters, and nothing else"
    assert shown + growing.flush() == encoded.decode()


def test_spaces_between_words_are_kept_where_the_decoder_writes_them_between_tokens() -> None:
    words = ["once", "upon", "a", "time"]
    text = TokenText(lambda ids: " ".join(words[i] for i in ids), context=[0])
    assert [text.push(i) for i in (1, 2, 3)] == [" upon", " a", " time"]


def shown(stops: Sequence[str], parts: Sequence[str]) -> tuple[list[str], bool]:
    stop = StopText(stops)
    out = []
    for part in parts:
        out.append(stop.push(part))
        if stop.stopped:
            return out, True
    return [*out, stop.flush()], False


def test_only_the_beginning_of_a_stop_text_is_held_back() -> None:
    assert shown(["END"], ["abc", "E", "x", "EN", "", "D!"]) == (["abc", "", "Ex", "", "", ""], True)
    assert shown(["END"], ["aE", "N"]) == (["a", "", "EN"], False)


def test_a_repeated_beginning_does_not_hide_the_stop_text() -> None:
    assert shown(["aab"], ["a", "a", "a", "b", "c"]) == (["", "", "a", ""], True)


def test_no_stop_text_holds_nothing_back() -> None:
    assert shown([], ["a", "b"]) == (["a", "b", ""], False)


@pytest.mark.parametrize("cut", range(1, 5))
def test_of_several_the_one_complete_first_ends_the_text_however_it_is_cut(cut: int) -> None:
    text = "xabcd"
    out, stopped = shown(["bc", "abcd"], [text[:cut], text[cut:]])
    assert ("".join(out), stopped) == ("xa", True)


@given(st.text("ab", max_size=12), st.lists(st.text("ab", min_size=1, max_size=3), max_size=3), st.data())
def test_the_cut_does_not_matter(text: str, stops: list[str], data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=4)))
    parts = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    whole, cut = shown(stops, [text]), shown(stops, parts)
    assert ("".join(whole[0]), whole[1]) == ("".join(cut[0]), cut[1])


@given(st.text("ab", max_size=12), st.lists(st.text("ab", min_size=1, max_size=4), max_size=3))
def test_just_the_longest_end_that_could_become_a_stop_text_is_held_back(text: str, stops: list[str]) -> None:
    stop, given_out = StopText(stops), ""
    for end in range(1, len(text) + 1):
        given_out += stop.push(text[end - 1])
        if stop.stopped:
            assert any(text[:end] == given_out + other for other in stops)
            return
        beginnings = {other[:size] for other in stops for size in range(1, len(other))}
        longest = max((size for size in range(end + 1) if text[end - size : end] in beginnings), default=0)
        assert given_out == text[: end - longest]
    assert given_out + stop.flush() == text
