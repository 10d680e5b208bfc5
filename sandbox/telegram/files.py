"""Keep the files that the bot uploaded."""

import mimetypes
import struct
from collections import OrderedDict
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from sandbox.counters import Counter
from sandbox.fields import Upload
from sandbox.telegram.errors import bad_request

_KEPT_BYTES_MAX = 32 * 1024 * 1024
_PHOTO_BYTES_MAX = 10 * 1024 * 1024
_PICTURES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp"}
_UNREAD_SIZE = (1280, 960)


class Kind(Enum):
    PHOTO = "photo"
    DOCUMENT = "document"


@dataclass(frozen=True)
class File:
    file_id: str
    kind: Kind
    file_name: str
    mime_type: str
    content: bytes = field(repr=False)

    def as_bot_api(self) -> dict[str, Any]:
        """
        Return the fields of a Bot API message that describe the file.

        Telegram lists several sizes of a photo. The sandbox lists only one size.
        """
        named = {"file_id": self.file_id, "file_unique_id": self.file_id[-12:], "file_size": len(self.content)}
        if self.kind is Kind.PHOTO:
            width, height = picture_size(self.content)
            return {"photo": [{**named, "width": width, "height": height}]}
        return {"document": {**named, "file_name": self.file_name, "mime_type": self.mime_type}}

    def as_read(self) -> dict[str, Any]:
        shown = {"file_id": self.file_id, "file_name": self.file_name, "mime_type": self.mime_type}
        return {self.kind.value: {**shown, "file_size": len(self.content)}}


class Files:
    """Keeps the newest files. It drops the oldest files when the total size of all files exceeds `_KEPT_BYTES_MAX`."""

    def __init__(self) -> None:
        self._ids = Counter(epoch_seconds=1_680_000_000)
        self._files: OrderedDict[str, File] = OrderedDict()

    def get(self, file_id: str) -> File | None:
        return self._files.get(file_id)

    def keep(self, kind: Kind, upload: Upload) -> File:
        mime_type = _photo_type(upload.content) if kind is Kind.PHOTO else _document_type(upload.file_name)
        file = File(f"{kind.value}-{self._ids.next()}", kind, upload.file_name, mime_type, upload.content)
        self._files[file.file_id] = file
        while len(self._files) > 1 and sum(len(one.content) for one in self._files.values()) > _KEPT_BYTES_MAX:
            self._files.popitem(last=False)
        return file


def picture_size(content: bytes) -> tuple[int, int]:
    """Return the width and the height of a PNG image in pixels. For other formats, return a fixed size."""
    if not content.startswith(b"\x89PNG") or len(content) < 24:
        return _UNREAD_SIZE
    width, height = struct.unpack(">II", content[16:24])
    return int(width), int(height)


def _photo_type(content: bytes) -> str:
    if len(content) > _PHOTO_BYTES_MAX:
        raise bad_request("file is too big")
    for start, mime_type in _PICTURES.items():
        if content.startswith(start):
            return mime_type
    raise bad_request("IMAGE_PROCESS_FAILED")


def _document_type(file_name: str) -> str:
    return mimetypes.guess_type(file_name)[0] or "application/octet-stream"
