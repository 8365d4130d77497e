"""The value that a tool returned as a text for the model."""

from __future__ import annotations

import json

CUT = "\n[cut: the result has more than {limit} characters]"


def as_text(value: object, limit: int) -> str:
    """Return a tool's result as text of at most `limit` characters: a text as it is, any other value as JSON."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= limit else text[:limit] + CUT.format(limit=limit)
