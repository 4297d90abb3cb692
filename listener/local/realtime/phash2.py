"""Erlang's `phash2` of JSON values: the real server names a binding by this hash of its parameters.

From the Erlang runtime's `make_hash2`, over Bob Jenkins' mixing function. Fractions, integers beyond 28 bits and
objects within objects are hashed as their JSON text, which Erlang does not do: no client sends them in a binding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from listener.local.realtime.wire import compact

if TYPE_CHECKING:
    from collections.abc import Mapping

HASHES = 2**27  # phash2/1 gives 0 … 2^27 - 1
_WORD = 0xFFFFFFFF
_GOLDEN = 0x9E3779B9
_INTEGER, _NIL, _ATOM, _BINARY, _MAP, _PAIRS = 1, 2, 3, 13, 16, 19  # which multiple of the golden ratio goes with what
_END_OF_LIST = 2
_SMALL = 2**27  # integers from -2^27 to 2^27 - 1 are hashed as words
_BLOCK = 12


def phash2(params: Mapping[str, Any]) -> int:
    """Return `erlang:phash2` of a map with text keys; their order does not matter."""
    pairs = 0
    for key, value in params.items():
        pairs ^= _value(value, _value(key, 0))
    size = _word(0, len(params), _MAP)
    return (_word(size, pairs, _PAIRS) if params else size) % HASHES


def _value(value: object, seed: int) -> int:
    if value is None or isinstance(value, bool):
        return _word(seed, _atom("nil" if value is None else str(value).lower()), _ATOM)
    if isinstance(value, int) and -_SMALL <= value < _SMALL:
        seed = _word(seed, -value, _INTEGER) if value < 0 else seed
        return _word(seed, value & _WORD, _INTEGER)
    if isinstance(value, list):
        for member in value:
            seed = _value(member, seed)
        return _word(seed, _END_OF_LIST, _NIL)
    return _binary((value if isinstance(value, str) else compact(value)).encode(), seed)


def _atom(name: str) -> int:
    state = 0
    for byte in name.encode():
        state = (state << 4) + byte
        overflow = state & 0xF0000000
        state = (state ^ (overflow >> 24)) ^ overflow
    return state


def _word(seed: int, word: int, multiple: int) -> int:
    constant = multiple * _GOLDEN & _WORD
    return _mix(constant + word & _WORD, constant, seed)[2]


def _binary(text: bytes, seed: int) -> int:
    a, b, c = _GOLDEN, _GOLDEN, (_BINARY * _GOLDEN + seed) & _WORD
    if not text:
        return c
    whole = len(text) - len(text) % _BLOCK
    for at in range(0, whole, _BLOCK):
        a, b, c = _mix(a + _int(text, at), b + _int(text, at + 4), c + _int(text, at + 8))
    rest = text[whole:].ljust(_BLOCK, b"\0")
    return _mix(a + _int(rest, 0), b + _int(rest, 4), c + len(text) + (_int(rest, 8) << 8))[2]


def _int(text: bytes, at: int) -> int:
    return int.from_bytes(text[at : at + 4], "little")


def _mix(a: int, b: int, c: int) -> tuple[int, int, int]:
    for right, left, final in ((13, 8, 13), (12, 16, 5), (3, 10, 15)):
        a = (a - b - c & _WORD) ^ ((c & _WORD) >> right)
        b = (b - c - a & _WORD) ^ (a << left & _WORD)
        c = (c - a - b & _WORD) ^ (b >> final)
    return a, b, c
