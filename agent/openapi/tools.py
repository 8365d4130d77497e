"""OpenAPI documents as tools: each operation is a function, and a call of it is an HTTP request."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import httpx2

from agent.definitions.candidates import Unfit, declared
from agent.definitions.openapi import Operation, operations
from agent.openapi.auth import TOKEN, Auth, Scheme
from agent.openapi.calls import request_of, text_of
from agent.openapi.documents import IS_URL, Source, read_source
from agent.openapi.network import TIMEOUT_S, NetworkError, SafeClient, host_of, safe_url
from agent.tools import Json, Tool, ToolError, ToolSourceError

MAX_OPERATIONS = 1_024
MAX_NODES = 300_000  # number of JSON values in all functions of a document, about 2 s of work
MAX_ANSWER = 1 << 20  # bytes of an answer, unpacked; the loop cuts the text of a result further

log = logging.getLogger("functionary")

# Headers that belong to HTTP and not to the operation. A parameter with such a name is left out.
_OWN_HEADERS = re.compile(
    r"accept|accept-encoding|authorization|connection|content-(encoding|length|type)|cookie|expect|host|keep-alive"
    r"|proxy-.*|te|trailer|transfer-encoding|upgrade|user-agent",
    re.IGNORECASE,
)


def openapi_tools(
    source: str | Path | Json,
    *,
    base_url: str | None = None,
    allow_hosts: Iterable[str] = (),
    allow_private: bool = False,
    include: Collection[str] | None = None,
    environment: Mapping[str, str] | None = None,
    timeout_s: float = TIMEOUT_S,
) -> tuple[Tool, ...]:
    """Return the operations of an OpenAPI 3 or Swagger 2 document as tools. Raises ToolSourceError.

    source: a file or URL, in JSON or YAML, or the document itself; or the manifest of a ChatGPT plugin, which names it.
    base_url: replaces the servers of the document.
    allow_hosts: hosts to which requests may go besides those of the document's servers.
    allow_private: hosts may be this machine or lie in a private network.
    include: operationIds; None for all operations.
    environment: where the secrets are (agent/openapi/auth.py); None for the environment of this process.
    timeout_s: for one request. A call of a tool may take a second longer, with the token that it may need.
    """
    client = SafeClient(_hosts(allow_hosts), allow_private, timeout_s)
    found = read_source(source, client)
    servers = [base_url] if base_url else _servers(found.document, found.document)
    client = replace(client, hosts=client.hosts | _hosts_of(servers, found.url))
    auth = Auth(found.document, found.title, os.environ if environment is None else environment, client, found.url)
    plugin = _Plugin(found, client, auth, base_url)
    tools, faults = plugin.tools(include)
    if not tools:
        reason = faults[0] if faults else "it has no operations"
        raise ToolSourceError(f"{found.name}: no operation can be used; {reason}")
    if faults:
        log.warning("%s: %d operations are left out, the first: %s", found.name, len(faults), faults[0])
    return tools


class _Plugin:
    """The operations of one document while they become tools."""

    def __init__(self, source: Source, client: SafeClient, auth: Auth, base_url: str | None) -> None:
        self._source = source
        self._client = client
        self._auth = auth
        self._base_url = base_url
        self._names: set[str] = set()
        self._missing: set[str] = set()

    def tools(self, include: Collection[str] | None) -> tuple[tuple[Tool, ...], list[str]]:
        """Return the tools, and why other operations cannot be used. Raises ToolSourceError."""
        tools: list[Tool] = []
        faults: list[str] = []
        seen: list[str] = []
        found = operations(self._source.document, self._is_argument, MAX_NODES)
        for number, (where, operation) in enumerate(found):
            if number >= MAX_OPERATIONS:
                raise ToolSourceError(f"{self._source.name}: it has more than {MAX_OPERATIONS} operations")
            if isinstance(operation, Unfit):
                faults.append(f"{where}: {operation}")
                continue
            seen.append(operation.own_name)
            if include is not None and operation.own_name not in include:
                continue
            try:
                tools.append(self._tool(operation))
            except Unfit as error:
                faults.append(f"{where}: {error}")
        if unknown := set(include or ()) - set(seen):
            listed = ", ".join(seen)[:300]
            raise ToolSourceError(f"{self._source.name}: it has no operation {min(unknown)!r}; it has {listed}")
        if self._missing:
            names = ", ".join(sorted(self._missing))
            log.warning("%s: calls that need %s will fail until it is set", self._source.name, names)
        return tuple(tools), faults

    def _is_argument(self, name: str, place: str) -> bool:
        return not (self._auth.hides(name, place) or (place == "header" and bool(_OWN_HEADERS.fullmatch(name))))

    def _tool(self, operation: Operation) -> Tool:
        description = operation.function["description"] or f"{operation.method.upper()} {operation.path}"
        function = declared({**operation.function, "name": self._name(operation), "description": description})
        server = _server(self._base_url, self._source, operation, self._client)
        _check_names(operation)
        alternatives = self._auth.alternatives(operation.definition)
        self._missing.update(self._auth.missing(alternatives))

        async def run(arguments: Json) -> str:
            return await _called(operation, server, arguments, self._client, self._auth, alternatives)

        return Tool(
            function,
            run,
            source=self._source.name,
            own_name=operation.own_name,
            needs_confirmation=operation.definition.get("x-openai-isConsequential") is True,
            timeout_s=self._client.timeout_s + 1,  # also for a token before the call; each request has its own limit
        )

    def _name(self, operation: Operation) -> str:
        """Return a name that no other operation has."""
        name = wanted = str(operation.function["name"]) or "call"
        number = 2
        while name in self._names:
            name = f"{wanted[:60]}_{number}"
            number += 1
        self._names.add(name)
        return name


async def _called(
    operation: Operation,
    server: str,
    arguments: Json,
    client: SafeClient,
    auth: Auth,
    alternatives: list[tuple[Scheme, ...]],
) -> str:
    """Call an operation once. Raises ToolError."""
    credentials = await auth.credentials(alternatives)
    try:
        request = request_of(operation, server, arguments, credentials)
        answer = await client.fetch(request, MAX_ANSWER)
    except NetworkError as error:
        raise ToolError(credentials.redacted(str(error))) from None
    if answer.status == 401:
        auth.forget_tokens()
    return text_of(answer, credentials)


def _check_names(operation: Operation) -> None:
    """Raise Unfit for names that a request cannot hold, and for parts of the path that are no parameters."""
    names = {one.name for one in operation.parameters if one.place == "path"}
    if lacking := set(re.findall(r"\{([^{}]*)\}", operation.path)) - names:
        raise Unfit(f"its path has {{{min(lacking)}}}, which is none of its parameters")
    if not operation.path.startswith("/") or re.search(r"[?#\s\\]", operation.path):
        raise Unfit("its path must begin with / and have no ?, #, backslash or blank")
    for one in operation.parameters:
        if one.place in ("header", "cookie") and not TOKEN.fullmatch(one.name):
            raise Unfit(f"{one.name[:60]!r} is no name of a {one.place}")
        if one.place == "path" and one.style != "simple":
            raise Unfit(f"its parameter {one.name!r} has the style {one.style!r}, which is not supported")


# Servers


def _server(base_url: str | None, source: Source, operation: Operation, client: SafeClient) -> str:
    """Return the URL of an operation's server without a slash at its end. Raises Unfit for one that is not allowed."""
    if base_url:
        listed = [base_url]
    else:
        holders = (operation.definition, operation.item, source.document)
        listed = next(filter(None, (_servers(one, source.document) for one in holders)), ["/"])
    try:
        url = _absolute(listed[0], source.url)
        client.check_host(url)
    except NetworkError as error:
        raise Unfit(str(error)) from None
    return str(url).rstrip("/")


def _servers(holder: Json, document: Json) -> list[str]:
    """Return the URLs of the servers that an object of the document lists, with the usual values of their variables."""
    if holder is document and isinstance(host := document.get("host"), str):  # Swagger 2
        schemes = document.get("schemes")
        scheme = "http" if isinstance(schemes, list) and "https" not in schemes else "https"
        return [f"{scheme}://{host}{document.get('basePath') or ''}"]
    if holder is document and isinstance(path := document.get("basePath"), str):
        return [path]
    held = holder.get("servers")
    found: list[str] = []
    for one in held if isinstance(held, list) else ():
        if isinstance(one, dict) and isinstance(url := one.get("url"), str):
            variables = one.get("variables")
            found.append(_filled(url, variables if isinstance(variables, dict) else {}))
    return found


def _filled(url: str, variables: Json) -> str:
    def value(match: re.Match[str]) -> str:
        held = variables.get(match[1])
        return str(held.get("default", "")) if isinstance(held, dict) else match[0]

    return re.sub(r"\{([^{}]*)\}", value, url)


def _absolute(server: str, base: httpx2.URL | None) -> httpx2.URL:
    """Return the URL of a server; a relative one starts from the document's. Raises NetworkError."""
    if not IS_URL.match(server):
        if base is None:
            raise NetworkError("the document names no server; give base_url")
        try:
            server = str(base.join(server))
        except (httpx2.InvalidURL, ValueError):
            raise NetworkError(f"{server[:80]!r} is no URL of a server") from None
    url = safe_url(server)
    if url.query or url.fragment or "{" in server:
        raise NetworkError(f"{server[:80]!r} is no URL of a server")
    return url


def _hosts_of(servers: Iterable[str], base: httpx2.URL | None) -> frozenset[str]:
    """Return the hosts of servers, without those whose URL cannot be used."""

    def hosts() -> Iterator[str]:
        for server in servers or ("/",):
            try:
                yield host_of(_absolute(server, base))
            except NetworkError:
                continue

    return frozenset(hosts())


def _hosts(names: Iterable[str]) -> frozenset[str]:
    try:
        return frozenset(host_of(safe_url(f"http://{name}/")) for name in names)
    except NetworkError as error:
        raise ToolSourceError(f"allow_hosts: {error}") from None
