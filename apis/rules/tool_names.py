"""Aliases of tools: a name that OpenAI's API forbids, as MCP servers have them, is shown to the model in a legal form.

Everything between the request and the answer has the aliases only: tools, tool choice and history. The answer has the
name of the request again.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import replace
from hashlib import sha256
from itertools import count

from apis.rules.fields import LEGAL_NAME, MAX_NAME
from core.conversation import ChatRequest, Message

_RESERVED = ("all", "python")  # the user and the code interpreter in some prompt formats
_NUM_DIGITS = 8  # of a hash, which makes an alias unique


def with_aliases(request: ChatRequest) -> ChatRequest:
    """Return the request with an alias for each tool whose name is not legal: in tools, choice, calls and results."""
    names = own_names(tool.name for tool in request.tools)
    if not names:
        return request
    aliases = {name: alias for alias, name in names.items()}
    chosen = request.choice.names
    return replace(
        request,
        tools=tuple(replace(tool, name=aliases.get(tool.name, tool.name)) for tool in request.tools),
        choice=replace(request.choice, names=chosen and tuple(aliases.get(name, name) for name in chosen)),
        messages=tuple(_with_aliases(message, aliases) for message in request.messages),
        own_names=names,
    )


def _with_aliases(message: Message, aliases: Mapping[str, str]) -> Message:
    """`aliases` are name -> alias. The name of an author is no tool's."""
    calls = tuple(replace(call, name=aliases.get(call.name, call.name)) for call in message.calls)
    name = aliases.get(message.name, message.name) if message.role == "tool" else message.name
    return replace(message, calls=calls, name=name)


def own_names(names: Iterable[str]) -> dict[str, str]:
    """Return an alias for each name that is not legal: alias -> name.

    An alias is the name with `_` for what is forbidden: `github.create_issue` becomes `github_create_issue`. Where that
    is taken, empty or too long, a hash of the name follows. A name added at the end changes no
    alias, unless it equals one.
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
