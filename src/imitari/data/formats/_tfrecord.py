"""TFRecord files and the tf.train.Example messages in them, without TensorFlow.

Framing: length (8 bytes, little endian), masked CRC32C of it, data, masked CRC32C of the data. The message is read
from its Protocol Buffers wire format: Example{1: Features{1: map entry{1: name, 2: Feature}}}, where Feature is one of
{1: bytes, 2: floats, 3: integers}.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np

from imitari.core.episode import Array
from imitari.core.errors import UserError

Value = list[memoryview] | Array  # bytes, float32 or int64

POLYNOMIAL = 0x82F63B78  # Castagnoli, reflected
LANE = 256  # bytes that one lane of the vectorised checksum takes
MASK_DELTA = 0xA282EAD8


def records(path: Path) -> Iterator[memoryview]:
    """The records of a file, as views of its mapping, each checked against its checksum.

    Raises:
        UserError: naming the file and the record that is cut off or damaged.
    """
    size = path.stat().st_size
    if size == 0:
        raise UserError(f"{path}: is empty: copy it again")
    with path.open("rb") as file:
        view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    position, number = 0, 0
    while position < size:
        head = view[position : position + 12]
        if len(head) < 12:
            raise UserError(f"{path}: record {number} is cut off: copy the file again")
        length = int.from_bytes(head[:8], "little")
        if masked_crc(head[:8]) != int.from_bytes(head[8:], "little"):
            raise UserError(f"{path}: the length of record {number} fails its checksum: copy the file again")
        stop = position + 12 + length
        if stop + 4 > size:
            raise UserError(f"{path}: record {number} is cut off: copy the file again")
        data = view[position + 12 : stop]
        if masked_crc(data) != int.from_bytes(view[stop : stop + 4], "little"):
            raise UserError(f"{path}: record {number} fails its checksum: copy the file again")
        yield data
        position, number = stop + 4, number + 1


def example(data: memoryview) -> dict[str, Value]:
    """The features of one tf.train.Example: name -> list of bytes, float32 array or int64 array.

    Raises:
        ValueError: when it is no such message.
    """
    out: dict[str, Value] = {}
    for field, features in _fields(data):
        if field != 1:
            continue
        for inner, entry in _fields(_message(features)):
            if inner == 1:
                parts = dict(_fields(_message(entry)))
                out[bytes(_message(parts[1])).decode("utf-8")] = _feature(_message(parts.get(2, memoryview(b""))))
    return out


def _feature(data: memoryview) -> Value:
    for kind, listed in _fields(data):
        values = [value for field, value in _fields(_message(listed)) if field == 1]
        if kind == 1:
            return [_message(value) for value in values]
        if kind == 2:
            return np.concatenate(
                [np.frombuffer(_message(value), "<f4") for value in values] or [np.zeros(0, np.float32)]
            )
        if kind == 3:
            return np.concatenate([_integers(value) for value in values] or [np.zeros(0, np.int64)])
    return []


def _integers(value: memoryview | int) -> Array:
    if isinstance(value, int):
        return np.array([value], np.uint64).astype(np.int64)
    return _packed(value)


def _packed(data: memoryview) -> Array:
    """Packed variable-length integers: seven bits a byte, the lowest first; the last byte of each has no high bit."""
    raw = np.frombuffer(data, np.uint8)
    if len(raw) == 0:
        return np.zeros(0, np.int64)
    last = np.flatnonzero(raw < 0x80)
    if len(last) == 0 or last[-1] != len(raw) - 1:
        raise ValueError("an integer is cut off")
    first = np.concatenate([[0], last[:-1] + 1])
    place = np.arange(len(raw)) - np.repeat(first, last - first + 1)
    bits = (raw & 0x7F).astype(np.uint64) << (7 * place).astype(np.uint64)
    return np.add.reduceat(bits, first).astype(np.int64)


def _message(value: memoryview | int) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number where a message belongs")
    return value


def _fields(data: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """(field number, value) of a message: a view for lengths and fixed sizes, an int for variable-length integers."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        wire = tag & 7
        if wire == 0:
            value, position = _varint(data, position)
            yield tag >> 3, value
            continue
        if wire == 2:
            size, position = _varint(data, position)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire} is unknown")
        if position + size > len(data):
            raise ValueError("a field is cut off")
        yield tag >> 3, data[position : position + size]
        position += size


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value, shift = 0, 0
    while position < len(data) and shift < 70:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, position
        shift += 7
    raise ValueError("an integer is cut off")


def masked_crc(data: memoryview | bytes) -> int:
    """The checksum as TFRecord stores it: rotated, plus a constant."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + MASK_DELTA) & 0xFFFF_FFFF


def crc32c(data: memoryview | bytes) -> int:
    """CRC32C (Castagnoli).

    Long input is cut into lanes that are run side by side, one byte of each at a time; since the checksum is linear
    over GF(2), two neighbours join as advance(left, bytes of right) xor right.
    """
    raw = np.frombuffer(data, np.uint8)
    if len(raw) < 4 * LANE:
        return _crc_short(bytes(data))
    lanes = 1 << (-(-len(raw) // LANE) - 1).bit_length()
    padded = np.zeros(lanes * LANE, np.uint8)  # zeros in front do not change a checksum that starts from zero
    padded[-len(raw) :] = raw
    padded[-len(raw) : len(padded) - len(raw) + 4] ^= 0xFF  # and starting from ones is the same as this
    table = _table()
    crc = np.zeros(lanes, np.uint32)
    for column in np.ascontiguousarray(padded.reshape(lanes, LANE).T):
        crc = table[(crc ^ column) & np.uint32(0xFF)] ^ (crc >> np.uint32(8))
    level = 0
    while len(crc) > 1:
        crc = _apply(_advance(level), crc[0::2]) ^ crc[1::2]
        level += 1
    return int(crc[0]) ^ 0xFFFF_FFFF


def _crc_short(data: bytes) -> int:
    table, crc = _table_list(), 0xFFFF_FFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFF_FFFF


@cache
def _table() -> Array:
    crc = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        crc = np.where(crc & np.uint32(1), (crc >> np.uint32(1)) ^ np.uint32(POLYNOMIAL), crc >> np.uint32(1))
    return crc.astype(np.uint32)


@cache
def _table_list() -> list[int]:
    return _table().tolist()


@cache
def _advance(level: int) -> Array:
    """The linear map of LANE * 2**level zero bytes: what becomes of each of the 32 bits."""
    if level > 0:
        half = _advance(level - 1)
        return _apply(half, half)
    bits = np.uint32(1) << np.arange(32, dtype=np.uint32)
    for _ in range(LANE):
        bits = _table()[bits & np.uint32(0xFF)] ^ (bits >> np.uint32(8))
    return bits


def _apply(columns: Array, values: Array) -> Array:
    out = np.zeros(len(values), np.uint32)
    for bit in range(32):
        out ^= columns[bit] * ((values >> np.uint32(bit)) & np.uint32(1))
    return out
