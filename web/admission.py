"""Which requests may begin: their API keys, their rate limits, and none once the server is shutting down."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import partial

from prometheus_client import CollectorRegistry, Counter
from starlette.datastructures import Headers
from starlette.types import Scope

from web.dialects import speaks_anthropic
from web.keys import Key, Keys
from web.playground import PATHS as PLAYGROUND_PATHS
from web.rate_limits import RateLimited, RateLimits
from web.settings import Settings

PUBLIC_PATHS = frozenset({"/", "/live", "/ready", "/health", *PLAYGROUND_PATHS})
PATHS_TO_THE_END = frozenset({"/live", "/metrics"})  # served while the server shuts down


class Admission:
    """Decides about each request before its body is read.

    keys: the accepted API keys; they may be read again while the server runs.
    is_draining: no further request may begin, since the server is shutting down.
    num_running: the requests that are being answered.
    """

    def __init__(
        self,
        settings: Settings,
        generating: Collection[tuple[str, str]] = (),
        registry: CollectorRegistry | None = None,
    ) -> None:
        """`generating` are the methods and paths that the rate limits are for. Raises KeyFileError."""
        self.keys = Keys(settings.api_keys, settings.api_key_file)
        self.is_draining = False
        self.num_running = 0
        self._generating = frozenset(generating)
        num_requests, num_tokens = settings.rate_limit_requests, settings.rate_limit_tokens
        self._limits = RateLimits(num_requests, num_tokens) if num_requests or num_tokens else None
        add = partial(Counter, registry=registry)
        self._num_requests = add(
            "functionary:key_requests", "Answers by API key and class of status.", ("key", "status")
        )
        self._num_tokens = add("functionary:key_tokens", "Tokens by API key.", ("key", "kind"))
        self._num_limited = add("functionary:rate_limited", "Requests refused by a rate limit.", ("key", "limit"))

    def refuses(self, path: str) -> bool:
        """Whether the server is shutting down and does not serve `path` until the end."""
        return self.is_draining and path not in PATHS_TO_THE_END

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count a request as running."""
        self.num_running += 1
        try:
            yield
        finally:
            self.num_running -= 1

    def check_key(self, request: Scope, headers: Headers) -> None:
        """Check the API key, unless the path is public, and store its digest and its name. Raises HttpError 401.

        Only the path in the scope decides whether a request needs no key.
        """
        if request["path"] not in PUBLIC_PATHS:
            key = self.keys.check(headers)
            request["state"] |= {"owner": key.digest, "key_name": key.name}

    def check_limits(self, request: Scope) -> dict[str, str]:
        """Count a request of the model, and return headers of its answer. Raises RateLimited if it comes too early."""
        if (request["method"], request["path"]) not in self._generating:
            return {}
        state = request["state"]
        key = Key(state.get("key_name", ""), state.get("owner", ""))
        if self._limits or key.name:
            state["charge"] = partial(self._charge, key)
        if self._limits is None:
            return {}
        try:
            return self._limits.admit(key.digest, anthropic=speaks_anthropic(request))
        except RateLimited as error:
            self._num_limited.labels(key.name, error.limit).inc()
            raise

    def count_answer(self, request: Scope, status_class: str) -> None:
        if name := request["state"].get("key_name"):
            self._num_requests.labels(name, status_class).inc()

    def _charge(self, key: Key, num_prompt: int, num_generated: int) -> None:
        """Count the tokens of an answer, after its end."""
        self._num_tokens.labels(key.name, "prompt").inc(num_prompt)
        self._num_tokens.labels(key.name, "generation").inc(num_generated)
        if self._limits:
            self._limits.charge(key.digest, num_prompt + num_generated)
