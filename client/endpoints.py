"""Defines the interface of an endpoint that answers chat requests, and implements it for OpenAI-compatible servers."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

import httpx2

from client.json_lines import Json
from client.server_events import DONE, EventReader, EventTooLong
from core.conversation import Call
from core.errors import RequestError

NUM_TRIES = 4
MAX_WAIT_S = 30.0  # the longest wait between two tries, even if the server asks for more
_RETRIED = frozenset({408, 409, 425, 429})  # every status from 500 is retried too
_CONTEXT = re.compile(r"context (length|size|window)")  # vLLM and SGLang; llama.cpp; others
_BAD_REQUEST = frozenset({400, 413, 422})  # only this request is wrong; other statuses concern all requests


@dataclass(frozen=True)
class Answer:
    """A model's answer, or in `error` the server's error message for the request. An error never counts as right."""

    text: str = ""
    calls: tuple[Call, ...] = ()
    finish_reason: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    error: str = ""


class NoAnswer(Exception):
    """This request got no answer after all tries. Another request may succeed."""


class Unusable(Exception):
    """The endpoint cannot answer any request: its address, key or model is wrong."""


class Endpoint(Protocol):
    """Answers chat requests, also several at the same time. `model` is the name that reports show."""

    model: str

    async def answer(self, body: Json) -> Answer:
        """Answer a request body without `model`. HTTP 400 gives an Answer with `error`. Raises NoAnswer, Unusable."""
        ...


class HttpEndpoint:
    """An OpenAI-compatible server. Use it with `async with`.

    base_url: ends with /v1, as for OpenAI's client. first_wait_s: the wait before the second try; it doubles with each
    further try.
    """

    def __init__(
        self,
        base_url: str,
        model: str = "",
        *,
        api_key: str = "",
        timeout_s: float = 300.0,
        first_wait_s: float = 0.5,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.model = model
        self._first_wait_s = first_wait_s
        self._timeout_s = timeout_s
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        limits = httpx2.Limits(max_connections=None, keepalive_expiry=3.0)  # servers close idle connections after 5 s
        self._client = httpx2.AsyncClient(headers=headers, timeout=httpx2.Timeout(timeout_s, connect=10), limits=limits)

    async def __aenter__(self) -> Self:
        """Open the connections. Without a given model, choose the first one that the server lists. Raises Unusable."""
        if not self.model:
            try:
                listed = await self._request("GET", "/models")
                self.model = str(listed["data"][0]["id"])
            except (KeyError, IndexError, TypeError):
                await self._client.aclose()
                raise Unusable(f"{self.base_url}/models lists no model; name one") from None
            except (NoAnswer, Unusable, _BadRequest) as error:
                await self._client.aclose()
                raise Unusable(str(error)) from None
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def answer(self, body: Json) -> Answer:
        started = time.monotonic()
        try:
            whole = await self._request("POST", "/chat/completions", {"model": self.model, **body})
            return read_answer(whole, time.monotonic() - started)
        except _BadRequest as bad_request:
            return Answer(error=str(bad_request), seconds=time.monotonic() - started)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise NoAnswer(f"{self.base_url} sent an unusable answer: {type(error).__name__} at {error}") from None

    async def stream(self, body: Json) -> AsyncGenerator[Json]:
        """Yield the chunks of a streamed chat completion for a request body without `model`.

        Errors are retried before the first chunk only. Raises RequestError if the server refuses the request, NoAnswer
        if it does not answer or the stream breaks, and Unusable.
        """
        whole = {"model": self.model, "stream_options": {"include_usage": True}, **body, "stream": True}
        try:
            response = await self._send("POST", "/chat/completions", whole, is_streamed=True)
        except _BadRequest as bad_request:
            raise RequestError(str(bad_request), code=bad_request.code) from None
        is_finished = False
        async with aclosing(response), aclosing(_event_data(response)) as events:
            try:
                async for data in events:
                    if data == DONE:
                        return
                    chunk = self._chunk(data)
                    is_finished = is_finished or _has_finish_reason(chunk)
                    yield chunk
            except (httpx2.TransportError, httpx2.DecodingError, EventTooLong) as error:
                raise NoAnswer(f"{self.base_url}: the stream broke: {str(error) or type(error).__name__}") from None
        if not is_finished:  # some servers send no [DONE]
            raise NoAnswer(f"{self.base_url}: the stream ended before its finish reason")

    def _chunk(self, data: bytes) -> Json:
        """Decode the data of an event. Raises NoAnswer for an error event and for anything but a JSON object."""
        try:
            chunk = json.loads(data)
        except (ValueError, RecursionError):
            chunk = None
        if not isinstance(chunk, dict):
            raise NoAnswer(f"{self.base_url} sent an unusable event: {data[:80].decode(errors='replace')!r}")
        if error := chunk.get("error"):
            said = error.get("message") if isinstance(error, dict) else error
            raise NoAnswer(f"{self.base_url} ended the stream with an error: {str(said)[:300]}")
        return chunk

    async def _request(self, method: str, path: str, body: Json | None = None) -> Json:
        """Send a request, and return the JSON object of the answer."""
        return _json(await self._send(method, path, body), self.base_url)

    async def _send(
        self, method: str, path: str, body: Json | None = None, *, is_streamed: bool = False
    ) -> httpx2.Response:
        """Send a request, and return the answer with status 200; with `is_streamed`, its body is not read yet.

        Errors that may be temporary are retried.
        """
        problem, wait_s = "", self._first_wait_s
        for num_failed in range(NUM_TRIES):
            if num_failed:
                await asyncio.sleep(min(wait_s, MAX_WAIT_S))
                wait_s *= 2
            try:
                request = self._client.build_request(method, self.base_url + path, json=body)
                response = await self._client.send(request, stream=True)
                if response.status_code != 200 or not is_streamed:
                    await response.aread()
                if response.status_code == 200:
                    return response
            except httpx2.TimeoutException:
                problem = f"{self.base_url} did not answer within {self._timeout_s:g} s"
                continue
            except (httpx2.TransportError, httpx2.DecodingError) as error:
                problem = f"{self.base_url} cannot be reached: {str(error) or type(error).__name__}"
                continue
            except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
                raise Unusable(f"{self.base_url}: {error}") from None
            problem = f"{self.base_url} answered {response.status_code}: {_error_message(response)}"
            if response.status_code in _BAD_REQUEST:
                raise _BadRequest(problem, _error_code(response))
            if response.status_code < 500 and response.status_code not in _RETRIED:
                raise Unusable(problem + self._hint(response.status_code))
            if response.headers.get("x-should-retry") == "false":  # a retry could repeat what the server has done
                raise NoAnswer(problem)
            wait_s = max(wait_s, _retry_after_s(response.headers.get("retry-after", "")))
        raise NoAnswer(f"{problem} ({NUM_TRIES} tries)")

    def _hint(self, status: int) -> str:
        return " (a base URL usually ends with /v1)" if status == 404 and not self.base_url.endswith("/v1") else ""


class _BadRequest(Exception):
    """The server rejects the request itself. A retry would fail too. `code` is that of OpenAI's error object."""

    def __init__(self, message: str, code: str | None) -> None:
        super().__init__(message)
        self.code = code


async def _event_data(response: httpx2.Response) -> AsyncGenerator[bytes]:
    reader = EventReader()
    async for part in response.aiter_bytes():
        for data in reader.feed(part):
            yield data
    if data := reader.end():  # some servers end their answer without a line break
        yield data


def _has_finish_reason(chunk: Json) -> bool:
    choices = chunk.get("choices")
    return isinstance(choices, list) and any(isinstance(one, dict) and one.get("finish_reason") for one in choices)


def _json(response: httpx2.Response, base_url: str) -> Json:
    try:
        value = response.json()
    except ValueError:
        raise NoAnswer(f"{base_url} sent an unusable answer: {response.text[:80]!r} is no JSON") from None
    if not isinstance(value, dict):
        raise NoAnswer(f"{base_url} sent an unusable answer: a JSON object was expected, got {response.text[:80]!r}")
    return value


def _error_message(response: httpx2.Response) -> str:
    """Return the `message` of OpenAI's error object, or the beginning of the body if there is no such object."""
    try:
        return str(response.json()["error"]["message"])[:300]
    except (ValueError, KeyError, TypeError):
        return response.text[:100]


def _error_code(response: httpx2.Response) -> str | None:
    """Return the `code` of OpenAI's error object. Servers without codes say in words that the context is exceeded."""
    try:
        code = response.json()["error"].get("code")
    except (ValueError, KeyError, TypeError, AttributeError):
        code = None
    if not isinstance(code, str) and _CONTEXT.search(_error_message(response)):
        return "context_length_exceeded"
    return code if isinstance(code, str) else None


def _retry_after_s(retry_after: str) -> float:
    return float(retry_after) if retry_after.isdecimal() else 0.0


def read_answer(whole: Json, seconds: float) -> Answer:
    """Read the first choice of a chat completion, with calls as `tool_calls` or as `function_call`.

    Raises KeyError, IndexError, TypeError, ValueError or AttributeError for any other object.
    """
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
