"""What answers chat requests: the contract, and any OpenAI-compatible server."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

import httpx2

from client.json_lines import Json
from core.conversation import Call

MAX_WAIT_S = 30.0  # between two tries, also if the server asks for more
_AGAIN = frozenset({408, 409, 425, 429})  # and all from 500
_REFUSED = frozenset({400, 413, 422})  # for any other status, the next request would fare no better


@dataclass(frozen=True)
class Answer:
    """What a model answered, or why it refused the request (`error`), which is never right."""

    text: str = ""
    calls: tuple[Call, ...] = ()
    finish_reason: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    error: str = ""


class NoAnswer(Exception):
    """This request got no answer, after all tries; another one may."""


class Unusable(Exception):
    """The endpoint answers nobody: a wrong address, key or model."""


class Endpoint(Protocol):
    """Answers one request at a time or many at once."""

    model: str

    async def answer(self, body: Json) -> Answer:
        """Answer a body without `model`. A refusal (400) is an Answer too; raises NoAnswer and Unusable."""
        ...


class HttpEndpoint:
    """An OpenAI-compatible server. `base_url` ends with /v1, as for OpenAI's client; use it with `async with`."""

    def __init__(
        self,
        base_url: str,
        model: str = "",
        *,
        api_key: str = "",
        timeout_s: float = 300.0,
        num_tries: int = 4,
        first_wait_s: float = 0.5,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.model = model
        self._num_tries = num_tries
        self._first_wait_s = first_wait_s
        self._timeout_s = timeout_s
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        limits = httpx2.Limits(max_connections=None, keepalive_expiry=3.0)  # servers close idle connections after 5 s
        self._client = httpx2.AsyncClient(headers=headers, timeout=httpx2.Timeout(timeout_s, connect=10), limits=limits)

    async def __aenter__(self) -> Self:
        """Ask for the first model's name if none was given. Raises Unusable."""
        if not self.model:
            try:
                listed = await self._asked("GET", "/models")
                self.model = str(listed["data"][0]["id"])
            except (KeyError, IndexError, TypeError):
                await self._client.aclose()
                raise Unusable(f"{self.base_url}/models lists no model; name one with --model") from None
            except (NoAnswer, Unusable, _Refused) as error:
                await self._client.aclose()
                raise Unusable(str(error)) from None
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def answer(self, body: Json) -> Answer:
        begun = time.monotonic()
        try:
            whole = await self._asked("POST", "/chat/completions", {"model": self.model, **body})
            return read_answer(whole, time.monotonic() - begun)
        except _Refused as refusal:
            return Answer(error=str(refusal), seconds=time.monotonic() - begun)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise NoAnswer(f"{self.base_url} answered nonsense: {type(error).__name__} at {error}") from None

    async def _asked(self, method: str, path: str, body: Json | None = None) -> Json:
        """The JSON of the answer; asks again where that may help. Raises _Refused, NoAnswer, Unusable."""
        problem, wait_s = "", self._first_wait_s
        for place in range(self._num_tries):
            if place:
                await asyncio.sleep(min(wait_s, MAX_WAIT_S))
                wait_s *= 2
            try:
                response = await self._client.request(method, self.base_url + path, json=body)
            except httpx2.TimeoutException:
                problem = f"{self.base_url} did not answer within {self._timeout_s:g} s"
                continue
            except (httpx2.TransportError, httpx2.DecodingError) as error:
                problem = f"{self.base_url} cannot be reached: {str(error) or type(error).__name__}"
                continue
            except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
                raise Unusable(f"{self.base_url}: {error}") from None
            if response.status_code == 200:
                return _json(response, self.base_url)
            problem = f"{self.base_url} answered {response.status_code}: {_said(response)}"
            if response.status_code in _REFUSED:
                raise _Refused(problem)
            if response.status_code < 500 and response.status_code not in _AGAIN:
                raise Unusable(problem)
            wait_s = max(wait_s, _seconds(response.headers.get("retry-after", "")))
        raise NoAnswer(f"{problem} ({self._num_tries} tries)")


class _Refused(Exception):
    """The request itself is at fault, so there is no use in asking again."""


def _json(response: httpx2.Response, base_url: str) -> Json:
    try:
        value = response.json()
    except ValueError:
        raise NoAnswer(f"{base_url} answered nonsense: {response.text[:80]!r} is no JSON") from None
    if not isinstance(value, dict):
        raise NoAnswer(f"{base_url} answered nonsense: a JSON object was expected, got {response.text[:80]!r}")
    return value


def _said(response: httpx2.Response) -> str:
    """OpenAI's error message if there is one."""
    try:
        return str(response.json()["error"]["message"])[:300]
    except (ValueError, KeyError, TypeError):
        return response.text[:100]


def _seconds(retry_after: str) -> float:
    return float(retry_after) if retry_after.isdecimal() else 0.0


def read_answer(whole: Json, seconds: float) -> Answer:
    """A chat completion's first choice; both dialects of calls. Raises KeyError and the like for anything else."""
    choice, usage = whole["choices"][0], whole.get("usage") or {}
    message = choice["message"]
    calls = [(call["function"], str(call.get("id") or "")) for call in message.get("tool_calls") or ()]
    calls += [(message["function_call"], "")] if message.get("function_call") else []
    return Answer(
        text=str(message.get("content") or ""),
        calls=tuple(Call(str(call["name"]), str(call["arguments"]), call_id) for call, call_id in calls),
        finish_reason=str(choice.get("finish_reason") or ""),
        prompt_tokens=int(usage.get("prompt_tokens") or 0),
        completion_tokens=int(usage.get("completion_tokens") or 0),
        seconds=round(seconds, 3),
    )
