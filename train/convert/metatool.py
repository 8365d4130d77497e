"""Converts MetaTool: the prompts of all_clean_data.csv (columns Query and Tool) become rows without a call.

Prompts with a placeholder ("[topic]") and prompts that read like an assistant's answer are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from train.convert.common import Item, Reject, is_broken, progress, read_csv, require_path
from train.convert.no_call import rows

FILE = Path("dataset", "data", "all_clean_data.csv")
_OF_AN_ASSISTANT = ("sure", "yes,", "certainly", "of course", "and ")


def items(path: Path) -> Iterator[Item]:
    """Yield the rows and rejects of the source. Raises FileError."""
    file = require_path(path / FILE if path.is_dir() else path, f"the file {FILE}")
    prompts: list[tuple[str, str]] = []
    for line, where in read_csv(file, ("Query", "Tool")):
        text = " ".join((line["Query"] or "").split())
        if is_broken(text) or any(mark in text for mark in "[]{}<>"):
            yield Reject(where, "a placeholder or broken characters")
        elif text.casefold().startswith(_OF_AN_ASSISTANT):
            yield Reject(where, "not said by a user")
        else:
            prompts.append((text, where))
    yield from rows(progress(prompts, "prompts"), "metatool")
