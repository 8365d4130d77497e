"""Rate limits: how many requests and tokens each API key may use in a minute, and the headers that tell."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime
from typing import Literal

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter, MovingWindowRateLimiter, RateLimiter

from web.errors import HttpError

Kind = Literal["requests", "tokens"]


class RateLimited(HttpError):
    """The request comes too early: its key has used up the `limit` of this minute."""

    def __init__(self, limit: Kind, amount: int, wait_s: int, headers: dict[str, str]) -> None:
        message = f"Rate limit reached: {amount} {limit} a minute. Please try again in {wait_s}s."
        headers = {**headers, "Retry-After": str(wait_s)}
        super().__init__(429, message, limit, code="rate_limit_exceeded", headers=headers)
        self.limit = limit


class _Budget:
    """One limit, with the strategy that counts what is used."""

    def __init__(self, kind: Kind, amount: int, strategy: RateLimiter) -> None:
        self.kind = kind
        self.amount = amount
        self.strategy = strategy
        self.item = RateLimitItemPerMinute(amount, namespace=kind)

    def left(self, owner: str) -> tuple[int, float]:
        """Return how much is left, and the seconds until more is."""
        reset_time, remaining = self.strategy.get_window_stats(self.item, owner)
        return remaining, max(0.0, reset_time - time.time())


class RateLimits:
    """The limits of all owners. An owner is the digest of an API key, or "" for all clients of a server without keys.

    Requests are counted in every minute up to now. Tokens are counted after an answer, since nobody knows before how
    many it will have, in minutes that begin with an owner's first tokens: an answer may exceed the limit, and the
    next request is refused until the minute is over.
    """

    def __init__(self, num_requests: int | None, num_tokens: int | None) -> None:
        """None stands for no limit."""
        storage = MemoryStorage()
        self._requests = _Budget("requests", num_requests, MovingWindowRateLimiter(storage)) if num_requests else None
        self._tokens = _Budget("tokens", num_tokens, FixedWindowRateLimiter(storage)) if num_tokens else None

    def admit(self, owner: str, *, anthropic: bool = False) -> dict[str, str]:
        """Count a request, and return the headers of its answer. Raises RateLimited, and counts nothing then."""
        if self._tokens and not self._tokens.strategy.test(self._tokens.item, owner):
            raise self._refusal(self._tokens, owner, anthropic)
        if self._requests and not self._requests.strategy.hit(self._requests.item, owner):
            raise self._refusal(self._requests, owner, anthropic)
        return self._headers(owner, anthropic)

    def charge(self, owner: str, num_tokens: int) -> None:
        """Count the tokens of an answer."""
        if self._tokens and num_tokens:
            self._tokens.strategy.hit(self._tokens.item, owner, cost=num_tokens)

    def _refusal(self, budget: _Budget, owner: str, anthropic: bool) -> RateLimited:
        _, wait_s = budget.left(owner)
        return RateLimited(budget.kind, budget.amount, math.floor(wait_s) + 1, self._headers(owner, anthropic))

    def _headers(self, owner: str, anthropic: bool) -> dict[str, str]:
        headers: dict[str, str] = {}
        for budget in filter(None, (self._requests, self._tokens)):
            remaining, reset_s = budget.left(owner)
            write = _anthropic_headers if anthropic else _openai_headers
            headers |= write(budget.kind, budget.amount, remaining, reset_s)
        return headers


def _openai_headers(kind: Kind, amount: int, remaining: int, reset_s: float) -> dict[str, str]:
    told = {"limit": str(amount), "remaining": str(remaining), "reset": duration(reset_s)}
    return {f"x-ratelimit-{name}-{kind}": value for name, value in told.items()}


def _anthropic_headers(kind: Kind, amount: int, remaining: int, reset_s: float) -> dict[str, str]:
    reset = datetime.fromtimestamp(math.ceil(time.time() + reset_s), UTC).isoformat().replace("+00:00", "Z")
    told = {"limit": str(amount), "remaining": str(remaining), "reset": reset}
    return {f"anthropic-ratelimit-{kind}-{name}": value for name, value in told.items()}


def duration(seconds: float) -> str:
    """Return a duration as OpenAI's headers have it, such as 20ms, 1s or 6m0s. Rounds up."""
    if seconds <= 0.999:
        return f"{math.ceil(seconds * 1000)}ms" if seconds > 0 else "0s"
    minutes, rest = divmod(math.ceil(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
