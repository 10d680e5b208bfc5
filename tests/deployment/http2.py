"""The parts of HTTP/2 (RFC 9113) and of its header compression (RFC 7541) that a test needs to send broken requests."""

import asyncio
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, CONTINUATION = 0x0, 0x1, 0x3, 0x4, 0x6, 0x7, 0x9
FRAME_BYTES_MAX = 16 * 1024
END_STREAM, ACK, END_HEADERS = 0x1, 0x1, 0x4
INDEXED_STATUSES = {8: 200, 9: 204, 10: 206, 11: 304, 12: 400, 13: 404, 14: 500}
HUFFMAN_DIGITS = {
    "00000": 0,
    "00001": 1,
    "00010": 2,
    "011001": 3,
    "011010": 4,
    "011011": 5,
    "011100": 6,
    "011101": 7,
    "011110": 8,
    "011111": 9,
}


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, stream) + payload


def headers_frame(headers: dict[str, str], *, stream: int = 1, ends_stream: bool = False) -> bytes:
    """Return the frames that open a stream. Encode each header as a literal, so that the encoder needs no dynamic table."""
    block = b"".join(b"\x00" + _literal(name) + _literal(value) for name, value in headers.items())
    first, *others = [block[start : start + FRAME_BYTES_MAX] for start in range(0, len(block), FRAME_BYTES_MAX)]
    flags = (0 if others else END_HEADERS) | (END_STREAM if ends_stream else 0)
    frames = [frame(HEADERS, flags, stream, first)]
    frames += [frame(CONTINUATION, 0 if part is not others[-1] else END_HEADERS, stream, part) for part in others]
    return b"".join(frames)


def data_frame(body: bytes, *, stream: int = 1, ends_stream: bool = False) -> bytes:
    return frame(DATA, END_STREAM if ends_stream else 0, stream, body)


async def read_status(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int | None:
    """Return the final status of the connection's only stream, or None if the server ends the stream without a status."""
    while True:
        try:
            head = await reader.readexactly(9)
            payload = await reader.readexactly(int.from_bytes(head[:3]))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        kind, flags = head[3], head[4]
        if kind in (SETTINGS, PING) and not flags & ACK:
            writer.write(frame(kind, ACK, 0, payload if kind == PING else b""))
        elif kind == HEADERS and (status := _status_of(payload)) >= 200:
            return status
        elif kind == RST_STREAM or (kind == GOAWAY and payload[4:8] != bytes(4)):
            return None


def _literal(text: str) -> bytes:
    raw = text.encode()
    if len(raw) < 127:
        return bytes([len(raw)]) + raw
    # A length of 127 or more does not fit into the first byte. The next bytes hold the rest, seven bits each, the lowest bits
    # first (RFC 7541, section 5.1).
    length, rest = bytearray([127]), len(raw) - 127
    while rest >= 128:
        length.append(rest % 128 + 128)
        rest //= 128
    return bytes(length) + bytes([rest]) + raw


def _status_of(block: bytes) -> int:
    """Read `:status`, which is the first header of a response."""
    while block[0] & 0xE0 == 0x20:  # skip a dynamic table size update (RFC 7541, section 6.3)
        block = block[1:]
    if block[0] & 0x80:
        return INDEXED_STATUSES.get(block[0] & 0x7F) or _kept(block)
    value = block[2 : 2 + (block[1] & 0x7F)]
    assert block[0] & 0x0F in INDEXED_STATUSES  # HPACK's static table has `:status` only at these indexes
    return _digits(value) if block[1] & 0x80 else int(value)


def _kept(block: bytes) -> int:
    raise AssertionError(f"an indexed status of the dynamic table: {block[:8]!r}")


def _digits(value: bytes) -> int:
    bits = "".join(f"{byte:08b}" for byte in value)
    number, code = 0, ""
    for bit in bits:
        code += bit
        if code in HUFFMAN_DIGITS:
            number, code = number * 10 + HUFFMAN_DIGITS[code], ""
    return number
