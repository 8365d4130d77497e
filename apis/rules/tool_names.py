"""Aliases of tools: a name that OpenAI's API forbids, as MCP servers have them, is shown to the model in a legal form.

Everything between the request and the answer has the aliases only: tools, tool choice and history. The answer has the
name of the request again.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from itertools import count

from apis.rules.fields import LEGAL_NAME, MAX_NAME
from core.conversation import Message

_RESERVED = ("all", "python")  # the user and the code interpreter in some prompt formats
_NUM_DIGITS = 8  # of a hash, which makes an alias unique


def own_names(names: Iterable[str]) -> dict[str, str]:
    """Return an alias for each name that is not legal: alias -> name.

    An alias is the name with `_` for what is forbidden: `github.create_issue` becomes `github_create_issue`. Where that
    is taken, empty or too long, a hash of the name follows. Names that are added behind the others change no alias.
    """
    names = list(names)
    taken = {*_RESERVED, *names}
    aliases: dict[str, str] = {}
    for name in names:
        if len(name) > MAX_NAME or not LEGAL_NAME.fullmatch(name):
            alias = next(spelling for spelling in _spellings(name) if spelling not in taken)
            taken.add(alias)
            aliases[alias] = name
    return aliases


def _spellings(name: str) -> Iterable[str]:
    """Yield possible aliases without end. A long name loses its beginning, since MCP's prefixes say least."""
    letters = "".join(char for char in unicodedata.normalize("NFKD", name) if not unicodedata.combining(char))
    plain = re.sub("[^a-zA-Z0-9_-]+", "_", letters).strip("_")
    if plain and len(plain) <= MAX_NAME:
        yield plain
    kept = plain[-(MAX_NAME - _NUM_DIGITS - 1) :].lstrip("_-") or "function"
    for number in count():
        yield f"{kept}_{sha256(f'{number}{name}'.encode()).hexdigest()[:_NUM_DIGITS]}"


def with_aliases(messages: Sequence[Message], own_names: Mapping[str, str]) -> tuple[Message, ...]:
    """Return the messages with the aliases of tools, in calls and in results. `own_names` are alias -> name."""
    aliases = {name: alias for alias, name in own_names.items()}
    if not aliases:
        return tuple(messages)
    renamed = []
    for message in messages:
        calls = tuple(replace(call, name=aliases.get(call.name, call.name)) for call in message.calls)
        name = aliases.get(message.name, message.name) if message.role == "tool" else message.name
        renamed.append(replace(message, calls=calls, name=name))
    return tuple(renamed)
