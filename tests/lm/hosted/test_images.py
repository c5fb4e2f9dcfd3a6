"""Images: by their first bytes, bounded, in each protocol's form."""

import base64
import pathlib
from typing import Any

import pytest

from trivium.errors import DataError, StorageError, Unsupported
from trivium.lm.hosted.images import read_image

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
KINDS = {
    "image/png": PNG,
    "image/jpeg": b"\xff\xd8\xff\xe0" + bytes(9),
    "image/gif": b"GIF89a" + bytes(9),
    "image/webp": b"RIFF\x00\x00\x00\x00WEBPVP8 ",
}


@pytest.mark.parametrize(("kind", "content"), KINDS.items())
def test_the_first_bytes_say_what_it_is(kind: str, content: bytes, tmp_path: pathlib.Path) -> None:
    (tmp_path / "named.txt").write_bytes(content)
    for source in (content, tmp_path / "named.txt", str(tmp_path / "named.txt")):
        image = read_image(source, most_bytes=100)
        assert image.media_type == kind
        assert base64.b64decode(image.base64) == content


def test_what_is_no_image_or_too_large(tmp_path: pathlib.Path) -> None:
    (tmp_path / "page.png").write_text("<html>")
    with pytest.raises(DataError, match=r"no image[\s\S]*page\.png[\s\S]*PNG, JPEG, GIF or WebP"):
        read_image(tmp_path / "page.png", most_bytes=100)
    for source in (PNG, tmp_path / "large"):
        (tmp_path / "large").write_bytes(PNG)
        with pytest.raises(DataError, match="too large"):
            read_image(source, most_bytes=len(PNG) - 1)
    with pytest.raises(StorageError, match="cannot be read"):
        read_image(tmp_path / "none", most_bytes=100)


MESSAGE = [
    {"role": "user", "content": [{"type": "text", "text": "what is this?"}, {"type": "image", "image": PNG}]},
]
ENCODED = base64.b64encode(PNG).decode()


def test_images_in_each_protocol(make: Any, server: Any) -> None:
    assert make("openai").chat(MESSAGE).text == "WHAT IS THIS?"
    assert make("anthropic", model="claude-x").chat(MESSAGE).text == "WHAT IS THIS?"
    openai, anthropic = (asked["messages"][0]["content"] for asked in server.asked)
    assert openai == [
        {"type": "text", "text": "what is this?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{ENCODED}"}},
    ]
    assert anthropic[1] == {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": ENCODED},
    }


def test_images_that_are_not_sent(make: Any, server: Any) -> None:
    with pytest.raises(Unsupported, match="reads no images"):
        make("cohere").chat(MESSAGE)
    with pytest.raises(DataError, match="what a user shows"):
        make("openai").chat([{**MESSAGE[0], "role": "system"}, {"role": "user", "content": "well?"}])
    for part in ({"type": "image"}, {"type": "text", "text": 1}, {"type": "video", "video": "x"}, "text", 7):
        with pytest.raises(DataError, match="no part of a message"):
            make("openai").chat([{"role": "user", "content": [part]}])
    with pytest.raises(DataError, match="too large"):
        make("openai", most_image_mib=0.001).chat(
            [{"role": "user", "content": [{"type": "image", "image": PNG + bytes(2000)}]}]
        )
    assert server.asked == []
