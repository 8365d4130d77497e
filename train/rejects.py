"""Where what cannot be used is put aside, with the reason."""

from __future__ import annotations

from pathlib import Path


def rejects_path(out: Path) -> Path:
    """FILE.rejects.jsonl beside FILE.jsonl."""
    return out.with_name(f"{out.name.removesuffix('.jsonl')}.rejects.jsonl")
