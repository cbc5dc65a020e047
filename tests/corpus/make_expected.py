#!/usr/bin/env python3
"""Writes the expected values of the recorded responses.

    python3 tests/corpus/make_expected.py

The folders beside this script, odoo18 and odoo19, contain responses of real servers (see their
INDEX.md, which also lists JSON-RPC responses that are not stored). For each folder the script reads
every *.xml except *.request.xml, and writes expected.json:

    {"malformed": true}                            not XML, or not XML-RPC
    {"fault": {"code": 4, "string": "..."}}
    {"value": ...}
    {"large": {"length": 5000, "first": ..., "last": ..., "fingerprint": "..."}}
        a value of more than 50,000 bytes; only arrays have first and last

Python's xmlrpc.client determines the expected values, so the decoder and they share no code. Two
differences are intended: a raw CR is kept (an XML parser would turn it into LF), and U+FFFE and
U+FFFF are accepted (expat rejects them).

Values are plain JSON, except:
    double    {"double": "1e+22", "bits": "4480f0cf064dd592"}
        bits: IEEE 754, big-endian; the decimal number is only for the reader
    dateTime  {"dateTime": "20260106T00:00:00"}
    base64    {"base64": "..."}

The fingerprint is the 64-bit FNV-1a hash of these bytes in this order:
    nil n | boolean b0 or b1 | int i<decimal>; | double d<bits>; | string s<bytes>:<UTF-8>
    dateTime t<bytes>:<UTF-8> | base64 x<bytes>:<bytes>
    array [ elements ] | struct { name as a string, value, ... }
"""

from __future__ import annotations

import base64
import json
import pathlib
import struct
import sys
import xml.parsers.expat
import xmlrpc.client
from typing import Any

LARGE = 50_000
STAND_INS = {"\ufffe": "\uf8f0", "\uffff": "\uf8f1"}


def parse(body: bytes) -> Any:
    """Returns the value of the response. Its texts contain stand-ins until `restore`."""
    for character, stand_in in STAND_INS.items():
        assert stand_in.encode() not in body, "the stand-in is taken"
        body = body.replace(character.encode(), stand_in.encode())
    (value,), _ = xmlrpc.client.loads(body.replace(b"\r", b"&#13;"))
    return value


def restore(text: str) -> str:
    for character, stand_in in STAND_INS.items():
        text = text.replace(stand_in, character)
    return text


def bits(double: float) -> str:
    return struct.pack(">d", double).hex()


def golden(value: object) -> Any:
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return {"double": repr(value), "bits": bits(value)}
    if isinstance(value, str):
        return restore(value)
    if isinstance(value, xmlrpc.client.DateTime):
        return {"dateTime": value.value}
    if isinstance(value, xmlrpc.client.Binary):
        return {"base64": base64.b64encode(value.data).decode()}
    if isinstance(value, list):
        return [golden(element) for element in value]
    if isinstance(value, dict):
        return {restore(name): golden(element) for name, element in value.items()}
    raise TypeError(type(value))


def counted(letter: bytes, content: bytes) -> bytes:
    return letter + str(len(content)).encode() + b":" + content


def canonical(value: object) -> bytes:
    if value is None:
        return b"n"
    if isinstance(value, bool):
        return b"b1" if value else b"b0"
    if isinstance(value, int):
        return b"i%d;" % value
    if isinstance(value, float):
        return b"d" + bits(value).encode() + b";"
    if isinstance(value, str):
        return counted(b"s", restore(value).encode())
    if isinstance(value, xmlrpc.client.DateTime):
        return counted(b"t", value.value.encode())
    if isinstance(value, xmlrpc.client.Binary):
        return counted(b"x", value.data)
    if isinstance(value, list):
        return b"[" + b"".join(map(canonical, value)) + b"]"
    if isinstance(value, dict):
        return b"{" + b"".join(canonical(name) + canonical(element) for name, element in value.items()) + b"}"
    raise TypeError(type(value))


def fnv1a(content: bytes) -> str:
    state = 0xCBF29CE484222325
    for byte in content:
        state = (state ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{state:016x}"


def expectation(body: bytes) -> dict[str, Any]:
    try:
        value = parse(body)
    except xmlrpc.client.Fault as fault:
        return {"fault": {"code": fault.faultCode, "string": restore(fault.faultString)}}
    except (xml.parsers.expat.ExpatError, xmlrpc.client.ResponseError):
        return {"malformed": True}
    if len(body) <= LARGE:
        return {"value": golden(value)}
    ends = {"first": golden(value[0]), "last": golden(value[-1])} if isinstance(value, list) else {}
    return {"large": {"length": len(value), **ends, "fingerprint": fnv1a(canonical(value))}}


def main() -> None:
    if len(sys.argv) > 1:
        print(__doc__)
        return
    for folder in sorted(path for path in pathlib.Path(__file__).parent.iterdir() if path.is_dir()):
        bodies = [path for path in sorted(folder.glob("*.xml")) if not path.name.endswith(".request.xml")]
        expected = {path.stem: expectation(path.read_bytes()) for path in bodies}
        (folder / "expected.json").write_text(json.dumps(expected, indent=1, allow_nan=False) + "\n")
        print(f"{folder.name}: {len(expected)} answers")


if __name__ == "__main__":
    main()
