"""How much work a function does, counted in lines of Python: the same number on every machine, however busy."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


def num_lines(function: Callable[[], object]) -> int:
    """Count the lines that run in the function and in all Python functions that it calls; C code is not counted."""
    num = 0

    def count(_frame: FrameType, event: str, _value: Any) -> Any:
        nonlocal num
        num += event == "line"
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        function()
    finally:
        sys.settrace(before)
    return num
