"""Rows and other JSON as a person reads them: for dry runs."""

from __future__ import annotations

from client.rows import Row
from schema import typescript

NUM_SAMPLES = 3


def sample(row: Row) -> str:
    """The functions as the model sees them, then a line for each message and call."""
    lines = [f"--- {row.source} {row.kind} {row.where}".rstrip(), typescript(row.functions), ""]
    for message in row.messages:
        if message.content is not None:
            lines.append(f"{message.role}: {message.content}")
        lines += [f"{message.role} calls {call.name}({call.arguments})" for call in message.calls]
    return "\n".join(lines) + "\n"
