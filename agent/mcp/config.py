"""The configuration of MCP servers, as MCP clients have it: `{"mcpServers": {"time": {"command": "uvx", ...}}}`."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.tools import TIMEOUT_S, ToolSourceError
from apis.rules.fields import Shape, read
from core.errors import RequestError

log = logging.getLogger("functionary")

_TYPES = {"stdio": "command", "http": "url", "streamable-http": "url", "streamableHttp": "url"}
_VARIABLE = re.compile(r"\$\{(?:env:)?([^}:]*)(?::-([^}]*))?\}")
_SECRET_NAME = re.compile("key|token|secret|passw|auth(?!or)|credential", re.IGNORECASE)
_MIN_SECRET = 6  # characters; a shorter value would be found in ordinary words
_HIDDEN = "[secret]"


@dataclass(frozen=True)
class McpServer:
    """One server of a configuration.

    command: the program and its arguments; empty for a server at `url`. tools: the names of the tools that are used, or
    None for all. confirm: the tools whose calls need a confirmation: True for all, None for those that the server calls
    destructive. secrets: values that no message and no log may show.
    """

    name: str
    command: tuple[str, ...] = field(default=(), repr=False)
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    cwd: str | None = None
    url: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    tools: tuple[str, ...] | None = None
    confirm: bool | tuple[str, ...] | None = None
    timeout_s: float = TIMEOUT_S
    secrets: frozenset[str] = field(default=frozenset(), repr=False)

    def without_secrets(self, text: str) -> str:
        """Return a text of the server without the secrets of its configuration."""
        for secret in sorted(self.secrets, key=len, reverse=True):
            text = text.replace(secret, _HIDDEN)
        return text


class _Server(Shape):
    command: str | None = None
    args: list[str] | None = None
    env: dict[str, str] | None = None
    cwd: str | None = None
    url: str | None = None
    headers: dict[str, str] | None = None
    type: str | None = None
    tools: list[str] | None = None
    confirm: bool | list[str] | None = None
    timeout_s: float | None = None
    disabled: bool | None = None


def mcp_servers(config: Path | str | Mapping[str, Any]) -> tuple[McpServer, ...]:
    """Read a configuration: a JSON file, or its object. Servers that are `disabled` are left out.

    `${NAME}`, `${env:NAME}` and `${NAME:-default}` in values stand for variables of the environment. Unknown keys are
    ignored, since each client has some of its own, but the log names them. Raises ToolSourceError.
    """
    where = "" if isinstance(config, Mapping) else f"{config}: "
    whole = config if isinstance(config, Mapping) else _parsed(Path(config))
    key = next((key for key in ("mcpServers", "servers") if key in whole), None)
    if key is None or not isinstance(whole[key], Mapping):
        raise ToolSourceError(f'{where}it has no servers; write them as {{"mcpServers": {{"NAME": {{...}}}}}}')
    try:
        servers = [_server(name, value, f"{key}.{name}", where) for name, value in whole[key].items()]
    except RequestError as error:
        raise ToolSourceError(f"{where}{error.message}") from None
    return tuple(server for server in servers if server)


def _parsed(file: Path) -> Mapping[str, Any]:
    try:
        whole = json.loads(file.read_bytes())
    except OSError as error:
        raise ToolSourceError(f"{file}: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise ToolSourceError(f"{file}: not JSON: {error}") from None
    if not isinstance(whole, dict):
        raise ToolSourceError(f"{file}: a JSON object was expected")
    return whole


def _server(name: str, value: object, path: str, where: str) -> McpServer | None:
    """Raises RequestError or ToolSourceError."""
    shape = read(_Server, value, path=path)
    if isinstance(value, dict) and (unknown := sorted(value.keys() - _Server.model_fields.keys())):
        log.warning("%sMCP server '%s': ignored: %s", where, name, ", ".join(unknown))
    if shape.disabled:
        return None
    problem = _problem(shape)
    if problem:
        raise ToolSourceError(f"{where}MCP server '{name}': {problem}")
    values = _Values(lambda variable: ToolSourceError(f"{where}MCP server '{name}': {variable}"))
    env = {key: values.filled(one) for key, one in (shape.env or {}).items()}
    headers = {key: values.filled(one) for key, one in (shape.headers or {}).items()}
    values.secrets |= {one for key, one in env.items() if _SECRET_NAME.search(key)}
    values.secrets |= {word for one in headers.values() for word in one.split()}
    return McpServer(
        name=name,
        command=tuple(values.filled(one) for one in (shape.command, *(shape.args or ()))) if shape.command else (),
        env=env,
        cwd=values.filled(shape.cwd) if shape.cwd else None,
        url=values.filled(shape.url) if shape.url else "",
        headers=headers,
        tools=None if shape.tools is None else tuple(shape.tools),
        confirm=tuple(shape.confirm) if isinstance(shape.confirm, list) else shape.confirm,
        timeout_s=TIMEOUT_S if shape.timeout_s is None else shape.timeout_s,
        secrets=frozenset(one for one in values.secrets if len(one) >= _MIN_SECRET),
    )


def _problem(shape: _Server) -> str:
    """Return what is wrong with a server, or "" if nothing is."""
    if shape.type == "sse":
        return "the transport 'sse' is not supported; use streamable HTTP, with the type 'http'"
    if shape.type is not None and shape.type not in _TYPES:
        return f"the type is {shape.type[:40]!r}; it must be one of {', '.join(_TYPES)}"
    if bool(shape.command) == bool(shape.url):
        return "it needs a 'command' or a 'url', and not both"
    needed = _TYPES[shape.type] if shape.type else ""
    if needed and not getattr(shape, needed):
        return f"the type {shape.type!r} needs a '{needed}'"
    if shape.url and not shape.url.startswith(("http://", "https://", "${")):
        return "'url' must begin with http:// or https://"
    if shape.timeout_s is not None and shape.timeout_s <= 0:
        return "'timeout_s' must be above 0"
    return ""


class _Values:
    """Puts variables of the environment into values. `secrets` are those of variables whose names speak of secrets."""

    def __init__(self, error: Callable[[str], Exception]) -> None:
        self.secrets: set[str] = set()
        self._error = error

    def filled(self, text: str) -> str:
        return _VARIABLE.sub(self._value, text)

    def _value(self, found: re.Match[str]) -> str:
        name, default = found.groups()
        value = os.environ.get(name, default)
        if value is None:
            raise self._error(f"the environment variable {name[:60]!r} is not set")
        if _SECRET_NAME.search(name):
            self.secrets.add(value)
        return value
