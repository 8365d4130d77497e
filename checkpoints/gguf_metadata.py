"""Reads what a GGUF file says about itself: the tokenizer and the sizes of the model, without the weights.

llama.cpp's Python code makes several NumPy arrays for each text, 100,000 for a vocabulary and its merges: it takes 5 s
and 170 MB where this takes 0.2 s. The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

from pathlib import Path
from struct import Struct
from struct import error as StructError
from typing import Any, BinaryIO

from core.errors import ModelError

_MAGIC = b"GGUF"
_HEAD = Struct("<IQQ")  # the version, and the numbers of tensors and of entries
_LENGTH = Struct("<Q")
_KIND = Struct("<I")
_STRING, _ARRAY = 8, 9
_NUMBERS = {
    kind: Struct(f"<{code}")
    for kind, code in {
        0: "B",
        1: "b",
        2: "H",
        3: "h",
        4: "I",
        5: "i",
        6: "f",
        7: "?",
        10: "Q",
        11: "q",
        12: "d",
    }.items()
}


def read_metadata(path: Path) -> dict[str, Any]:
    """Return the entries of the file by name. Raises ModelError if it is no GGUF file, or a damaged one."""
    try:
        with path.open("rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                raise ValueError("it does not begin as one")
            _, _, num_entries = _unpack(_HEAD, file)
            return {_text(file): _value(file, _unpack(_KIND, file)[0]) for _ in range(num_entries)}
    except (OSError, ValueError, KeyError, StructError) as error:
        raise ModelError(f"{path} cannot be read as a GGUF file: {error}") from None


def _unpack(layout: Struct, file: BinaryIO) -> tuple[Any, ...]:
    return layout.unpack(file.read(layout.size))


def _text(file: BinaryIO) -> str:
    (length,) = _LENGTH.unpack(file.read(_LENGTH.size))
    return file.read(length).decode()


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == _STRING:
        return _text(file)
    if kind == _ARRAY:
        (kind_of_items,), (length,) = _unpack(_KIND, file), _unpack(_LENGTH, file)
        return [_value(file, kind_of_items) for _ in range(length)]
    return _unpack(_NUMBERS[kind], file)[0]
