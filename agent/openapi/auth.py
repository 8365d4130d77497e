"""The security schemes of an OpenAPI plugin. Their secrets come from the environment, and go into requests only."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote, quote_plus

import httpx2

from agent.definitions.candidates import Unfit
from agent.definitions.references import Inliner
from agent.openapi.network import NetworkError, SafeClient, safe_url
from agent.tools import Json, ToolError
from core.conversation import JsonSchema

MAX_TOKEN_ANSWER = 65_536  # bytes
USUAL_LIFETIME_S = 300.0  # of a token whose server does not say how long it lives
EARLY_S = 30.0  # a token is not used in the last seconds of its life

TOKEN = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.ASCII)  # names of headers and cookies
_CONTROL = re.compile(r"[^\x20-\x7e]")
_MIN_REDACTED = 4  # characters; a shorter secret would also be found where it is none


@dataclass(frozen=True)
class Scheme:
    """A security scheme, and the environment variable with its secret.

    kind: where the secret goes; "client" are OAuth2 client credentials, for which a token is fetched from `token_url`.
    name: of the header, query parameter or cookie.
    """

    kind: Literal["header", "query", "cookie", "bearer", "basic", "client"]
    variable: str
    name: str = ""
    token_url: httpx2.URL | None = None
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, repr=False)
class Credentials:
    """What a request needs besides its arguments. `secrets` are the texts that nobody may read in its answer."""

    headers: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    cookies: dict[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()

    def redacted(self, text: str) -> str:
        """Return a text of the server without the secrets, should the server repeat them."""
        for secret in self.secrets:
            for form in {secret, quote(secret, safe=""), json.dumps(secret)[1:-1]}:
                text = text.replace(form, "[secret]") if len(form) >= _MIN_REDACTED else text
        return text


class Auth:
    """The security schemes of one document, and the tokens that were fetched for them.

    The secret of a scheme is the environment variable FUNCTIONARY_TITLE_SCHEME: the key or token itself,
    `user:password` for basic, `id:secret` for OAuth2 client credentials.
    """

    def __init__(
        self, document: Json, title: str, environment: Mapping[str, str], client: SafeClient, base: httpx2.URL | None
    ) -> None:
        self._document = document
        self._title = title
        self._environment = environment
        self._client = client
        self._base = base
        self._tokens: dict[Scheme, tuple[str, float]] = {}
        self._schemes = _schemes(document)

    def hides(self, name: str, place: str) -> bool:
        """Return whether a parameter holds a secret, so that the model does not see it."""
        held = self._schemes.values()
        return any(str(one.get("name")).lower() == name.lower() and one.get("in") == place for one in held)

    def alternatives(self, definition: JsonSchema) -> list[tuple[Scheme, ...]]:
        """Return the schemes of an operation: one of the tuples is enough. Raises Unfit if none can be used."""
        wanted = definition.get("security", self._document.get("security"))
        if not wanted or not isinstance(wanted, list):
            return [()]
        found: list[tuple[Scheme, ...]] = []
        faults: list[Unfit] = []
        for one in wanted:
            try:
                requirement = one if isinstance(one, dict) else {}
                found.append(tuple(self._scheme(str(name), scopes) for name, scopes in requirement.items()))
            except Unfit as error:
                faults.append(error)
        if not found:
            raise faults[0]
        return found

    def missing(self, alternatives: Sequence[tuple[Scheme, ...]]) -> list[str]:
        """Return the environment variables that have no value though the operation needs them."""
        if self._chosen(alternatives) is not None:
            return []
        return [scheme.variable for scheme in alternatives[0] if not self._secret(scheme)]

    async def credentials(self, alternatives: Sequence[tuple[Scheme, ...]]) -> Credentials:
        """Return the secrets for one call. Raises ToolError, which names a variable without its value."""
        chosen = self._chosen(alternatives)
        if chosen is None:
            raise ToolError(f"the environment variable {' and '.join(self.missing(alternatives))} is not set")
        headers: dict[str, str] = {}
        query: dict[str, str] = {}
        cookies: dict[str, str] = {}
        secrets: list[str] = []
        for scheme in chosen:
            secret = self._secret(scheme)
            if _CONTROL.search(secret):
                raise ToolError(f"the environment variable {scheme.variable} has characters that no header can have")
            secrets.append(secret)
            match scheme.kind:
                case "header":
                    headers[scheme.name] = secret
                case "query":
                    query[scheme.name] = secret
                case "cookie":
                    cookies[scheme.name] = secret
                case "bearer":
                    headers["Authorization"] = f"Bearer {secret}"
                case "basic":
                    packed = base64.b64encode(secret.encode()).decode()
                    headers["Authorization"] = f"Basic {packed}"
                    secrets += [packed, secret.partition(":")[2]]
                case "client":
                    token = await self._token(scheme, secret)
                    headers["Authorization"] = f"Bearer {token}"
                    secrets += [token, secret.partition(":")[2]]
        return Credentials(headers, query, cookies, tuple(filter(None, secrets)))

    def forget_tokens(self) -> None:
        """Fetch new tokens for the next call, after the server rejected one."""
        self._tokens.clear()

    def _chosen(self, alternatives: Sequence[tuple[Scheme, ...]]) -> tuple[Scheme, ...] | None:
        """Return the first alternative whose variables are all set. One without schemes is the last choice."""
        for one in sorted(alternatives, key=lambda schemes: not schemes):
            if all(map(self._secret, one)):
                return one
        return None

    def _secret(self, scheme: Scheme) -> str:
        return self._environment.get(scheme.variable, "").strip()

    def _scheme(self, name: str, scopes: object) -> Scheme:
        if name not in self._schemes:
            raise Unfit(f"its security scheme {name[:60]!r} is not defined")
        held = self._schemes[name]
        variable = f"FUNCTIONARY_{variable_part(self._title)}_{variable_part(name)}"
        kind, scheme, place = held.get("type"), str(held.get("scheme")).lower(), held.get("in")
        if kind == "apiKey" and isinstance(key := held.get("name"), str):
            if place == "header" and TOKEN.fullmatch(key):
                return Scheme("header", variable, key)
            if place == "query":
                return Scheme("query", variable, key)
            if place == "cookie" and TOKEN.fullmatch(key):
                return Scheme("cookie", variable, key)
        if kind == "basic" or (kind == "http" and scheme == "basic"):
            return Scheme("basic", variable)
        if (kind == "http" and scheme == "bearer") or kind == "openIdConnect":
            return Scheme("bearer", variable)
        if kind == "oauth2":
            token_url = _token_url(held)
            if token_url is None:  # a person has to log in; the variable holds the token that came of it
                return Scheme("bearer", variable)
            listed = scopes if isinstance(scopes, list) else []
            return Scheme("client", variable, token_url=self._checked(token_url), scopes=tuple(map(str, listed)))
        raise Unfit(f"its security scheme {name[:60]!r} is of a kind that is not supported")

    def _checked(self, token_url: str) -> httpx2.URL:
        try:
            url = safe_url(str(self._base.join(token_url)) if self._base else token_url)
            self._client.check_host(url)
        except (NetworkError, httpx2.InvalidURL) as error:
            raise Unfit(f"tokens cannot be fetched: {error}") from None
        return url

    async def _token(self, scheme: Scheme, secret: str) -> str:
        """Return a token that is kept or fetched. Raises ToolError."""
        token, ends = self._tokens.get(scheme, ("", 0.0))
        if token and time.monotonic() < ends:
            return token
        client_id, _, client_secret = secret.partition(":")
        packed = base64.b64encode(f"{quote_plus(client_id)}:{quote_plus(client_secret)}".encode()).decode()
        form = {"grant_type": "client_credentials", **({"scope": " ".join(scheme.scopes)} if scheme.scopes else {})}
        if scheme.token_url is None:  # cannot happen: `_scheme` sets it
            raise ToolError("the scheme has no token URL")
        headers = {"Authorization": f"Basic {packed}", "Accept": "application/json"}
        request = httpx2.Request("POST", scheme.token_url, data=form, headers=headers)
        failure = f"no token for {scheme.variable}: "
        try:
            answer = await self._client.fetch(request, MAX_TOKEN_ANSWER)
            said = json.loads(answer.body)
            token, lifetime_s = said["access_token"], float(said.get("expires_in") or USUAL_LIFETIME_S)
        except NetworkError as error:
            raise ToolError(failure + str(error)) from None
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            raise ToolError(f"{failure}{scheme.token_url.host} answered {answer.status} without one") from None
        if not isinstance(token, str) or _CONTROL.search(token) or answer.status != 200:
            raise ToolError(f"{failure}{scheme.token_url.host} answered {answer.status} without a usable one")
        self._tokens[scheme] = (token, time.monotonic() + lifetime_s - EARLY_S)
        return token


def variable_part(text: str) -> str:
    """Return a title or the name of a scheme as part of an environment variable: `Pet Store` is PET_STORE."""
    return re.sub(r"[^A-Z0-9]+", "_", text.upper()).strip("_") or "PLUGIN"


def _schemes(document: Json) -> dict[str, JsonSchema]:
    """Return the security schemes of an OpenAPI 3 or Swagger 2 document by name, without those that lead nowhere."""
    components = document.get("components")
    held = components.get("securitySchemes") if isinstance(components, dict) else document.get("securityDefinitions")
    found: dict[str, JsonSchema] = {}
    for name, scheme in held.items() if isinstance(held, dict) else ():
        with suppress(Unfit):
            found[str(name)] = Inliner(document).target(scheme)
    return found


def _token_url(scheme: JsonSchema) -> str | None:
    """Return the URL for client credentials, as OpenAPI 3 or Swagger 2 has it. None for every other flow."""
    flows = scheme.get("flows")
    flow = flows.get("clientCredentials") if isinstance(flows, dict) else None
    if flow is None and scheme.get("flow") == "application":
        flow = scheme
    url = flow.get("tokenUrl") if isinstance(flow, dict) else None
    return url if isinstance(url, str) else None
