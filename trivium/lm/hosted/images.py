"""Images in a conversation: from a file, or bytes, to what the protocols carry."""

import base64
import pathlib
from dataclasses import dataclass

from trivium.errors import DataError, StorageError


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image as it is sent."""

    media_type: str
    """Such as image/png."""
    base64: str
    """Its bytes."""

    @property
    def data_uri(self) -> str:
        """As an address that holds the image (RFC 2397)."""
        return f"data:{self.media_type};base64,{self.base64}"


def read_image(source: str | pathlib.Path | bytes, *, most_bytes: int) -> Image:
    """An image from a file, or from bytes. What it is, its first bytes say, never its name.

    Raises ``DataError`` for one that is too large or of a kind that no service reads, ``StorageError`` for a file that
    cannot be read.
    """
    if isinstance(source, bytes):
        content, where = source[: most_bytes + 1], f"{len(source):,} bytes"
    else:
        where = str(source)
        try:
            with pathlib.Path(source).expanduser().open("rb") as file:
                content = file.read(most_bytes + 1)
        except OSError as error:
            raise StorageError(
                "the image cannot be read", received=f"{where}: {error.strerror}", fix="check the path"
            ) from None
    if len(content) > most_bytes:
        raise DataError(
            "the image is too large to be sent",
            received=where,
            expected=f"at most {most_bytes / 2**20:g} MiB",
            fix="make it smaller, or raise most_image_mib where the service takes more",
        )
    kind = _media_type(content)
    if kind is None:
        raise DataError(
            "this is no image that services read", received=where, expected="PNG, JPEG, GIF or WebP", fix="convert it"
        )
    return Image(media_type=kind, base64=base64.b64encode(content).decode())


def _media_type(content: bytes) -> str | None:
    for magic, kind in (
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff", "image/jpeg"),
        (b"GIF87a", "image/gif"),
        (b"GIF89a", "image/gif"),
    ):
        if content.startswith(magic):
            return kind
    return "image/webp" if content[:4] == b"RIFF" and content[8:12] == b"WEBP" else None
