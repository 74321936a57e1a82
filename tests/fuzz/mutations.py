"""Damage to whole files: of their bytes, of the values of JSON, and of archives packed again."""

from __future__ import annotations

import io
import json
import random
import zipfile
from typing import Any

import numpy as np

ODD: tuple[Any, ...] = (
    None, True, -1, 0, 2**31, 2**63, 2**127, 10**40, 1e308, 1e-320, -0.0, "", "x" * 5000, "../../etc",
    "\x00", "\ud800", [], {}, [[[[]]]], float("nan"), float("inf"),
)  # fmt: skip


def mutated(whole: bytes, draw: random.Random) -> bytes:
    """Return a damaged copy of a file, by whichever way its kind allows."""
    if draw.random() < 0.5:
        if whole[:1] in (b"{", b"["):
            return _json(whole, draw)
        if whole[:2] == b"PK":
            return _archive(whole, draw)
    return damaged(whole, draw)


def damaged(whole: bytes, draw: random.Random) -> bytes:
    """Return bytes cut short, with flipped bits, with a piece removed, doubled or replaced."""
    content = bytearray(whole)
    for _ in range(draw.choice((1, 1, 2, 4, 16))):
        at, width = draw.randrange(len(content) + 1), draw.choice((1, 2, 4, 16, 256))
        kind = draw.randrange(6)
        if kind == 0:
            del content[at:]
        elif kind == 1 and at < len(content):
            content[at] ^= 1 << draw.randrange(8)
        elif kind == 2:
            del content[at : at + width]
        elif kind == 3:
            content[at:at] = content[at : at + width]
        elif kind == 4:
            content[at : at + width] = draw.choice((b"\x00", b"\xff", b"9")) * width
        else:
            content[at : at + width] = draw.randbytes(width)
    return bytes(content)


def _json(whole: bytes, draw: random.Random) -> bytes:
    lines = whole.splitlines()
    number = draw.randrange(len(lines)) if len(lines) > 1 and lines[1][:1] == b"{" else None
    try:
        content = json.loads(whole if number is None else lines[number])
    except ValueError:
        return damaged(whole, draw)
    for _ in range(draw.choice((1, 1, 2, 3))):
        content = _other(content, draw)
    made = json.dumps(content).encode()
    if number is None:
        return made
    lines[number] = made
    return b"\n".join(lines) + b"\n"


def _other(content: Any, draw: random.Random) -> Any:
    """Return JSON with a value somewhere in it removed, doubled, or another."""
    if isinstance(content, dict) and content and draw.random() < 0.85:
        key = draw.choice(sorted(content))
        copy = dict(content)
        kind = draw.random()
        if kind < 0.1:
            del copy[key]
        elif kind < 0.15:
            copy[key + "x"] = copy.pop(key)
        else:
            copy[key] = _other(copy[key], draw)
        return copy
    if isinstance(content, list) and content and draw.random() < 0.85:
        at = draw.randrange(len(content))
        kind = draw.random()
        if kind < 0.1:
            return content[:at] + content[at + 1 :]
        if kind < 0.2:
            return content + content
        return [*content[:at], _other(content[at], draw), *content[at + 1 :]]
    if isinstance(content, int | float) and not isinstance(content, bool) and draw.random() < 0.5:
        return draw.choice((content + 1, -content, content * 1000, float(content), str(content)))
    return draw.choice(ODD)


def _archive(whole: bytes, draw: random.Random) -> bytes:
    """Return an archive whose members are damaged and packed again, with sums that fit."""
    try:
        with zipfile.ZipFile(io.BytesIO(whole)) as archive:
            members = {each.filename: archive.read(each) for each in archive.infolist()}
    except (zipfile.BadZipFile, OSError):
        return damaged(whole, draw)
    name = draw.choice(sorted(members))
    kind = draw.random()
    if kind < 0.1:
        del members[name]
    elif kind < 0.2:
        members[name] = members[draw.choice(sorted(members))]
    elif kind < 0.5:
        members[name] = _header(members[name], draw)
    else:
        members[name] = damaged(members[name], draw)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", draw.choice((0, 8))) as archive:
        for each, content in members.items():
            archive.writestr(each, content)
    return made.getvalue()


def bomb(whole: bytes, size: int, name: str | None = None) -> bytes:
    """Return an archive that unpacks into zeros: some kilobytes for a gigabyte.

    Its largest member is an array of bytes; or the array that is named is of its own type, with as
    many more rows as fill `size`.
    """
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        members = {each.filename: archive.read(each) for each in archive.infolist()}
    largest = name or max(members, key=lambda each: len(members[each]))
    descr, shape = "|u1", (size,)
    if name is not None:
        kept = np.lib.format.read_array(io.BytesIO(members[name]))
        descr, row = kept.dtype.str, int(np.prod(kept.shape[1:])) * kept.dtype.itemsize
        shape = (max(1, size // row), *kept.shape[1:])
        size = shape[0] * row
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        for each, content in members.items():
            if each != largest:
                packed.writestr(each, content)
        with packed.open(largest, "w", force_zip64=True) as member:
            member.write(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text)
            for begin in range(0, size, 2**24):
                member.write(bytes(min(2**24, size - begin)))
    return made.getvalue()


def bombs(whole: bytes, size: int) -> list[bytes]:
    """Return archives that unpack into so much, or a half, fourth or eighth of it, as limits do.

    One has an array of bytes, the others more rows of each array that has rows.
    """
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        arrays = {
            each: np.lib.format.read_array(io.BytesIO(archive.read(each)))
            for each in archive.namelist()
        }
    rows = [each for each, array in arrays.items() if array.ndim and array.size]
    sizes = [size // part for part in (1, 2, 4, 8)]
    return [bomb(whole, size), *(bomb(whole, n, each) for n in sizes for each in rows)]


def _header(member: bytes, draw: random.Random) -> bytes:
    """Return a member whose header claims another dtype, order or shape."""
    swaps = (
        (b"'<f4'", b"'<f8'"), (b"'<f8'", b"'|O' "), (b"'<f8'", b"'<U9'"), (b"'<i8'", b"'<M8'"),
        (b"'<i8'", b"'>i8'"), (b"False", b"True "), (b"(", b"(9"), (b"(2", b"(0"), (b"(2", b"(-"),
        (b"\x01\x00", b"\x03\x00"), (b"(", b"(" + b"9" * 20), (b"descr", b"desc_"),
    )  # fmt: skip
    old, new = draw.choice(swaps)
    return member.replace(old, new, 1)
