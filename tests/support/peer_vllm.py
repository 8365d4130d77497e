"""The API of vLLM 0.32 as the scripted peer plays it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from tests.support.scripted_peer import Json, Peer, Refused
from tests.support.toy_model import Logits, Sampler, Wanted, logprobs

BLOCK = 16  # tokens of a block of the prefix cache


class PlayedVLLM:
    """Routes, checks and events of vLLM's server."""

    completions = "/v1/completions"

    def error(self, status: int, message: str) -> Json:
        kind = {400: "BadRequestError", 401: "Unauthorized", 404: "NotFoundError"}.get(status, "InternalServerError")
        return {"error": {"message": message, "type": kind, "param": None, "code": status}}

    def answer(self, peer: Peer, path: str, body: Json) -> Json:
        match path:
            case "/v1/models":
                card = {"id": peer.model_name, "object": "model", "created": 1, "owned_by": "vllm", "parent": None}
                return {
                    "object": "list",
                    "data": [card | {"root": peer.model_name, "max_model_len": peer.max_context}],
                }
            case "/health":
                return {}
            case "/tokenize":
                ids = peer.tokenizer.encode_raw(body["prompt"], may_add_bos=body.get("add_special_tokens", True))
                return {"count": len(ids), "max_model_len": peer.max_context, "tokens": ids, "token_strs": None}
        raise Refused(404, "Not Found")

    async def events(self, peer: Peer, body: Json) -> AsyncIterator[Json | str]:
        prompt: list[int] = body["prompt"]
        wanted = _wanted(body)
        _check(peer, body, prompt, wanted)
        num_cached = _num_cached(peer, prompt, body.get("cache_salt"))
        sampler, ids, finish = Sampler(wanted, prompt), list(prompt), None
        while finish is None:
            await asyncio.sleep(peer.token_s)
            logits = peer.model(ids)
            token_id = sampler.sample(logits)
            ids.append(token_id)
            is_end = token_id in wanted.stop_ids or (token_id == peer.eos_id and not body.get("ignore_eos"))
            is_stop = is_end and len(ids) - len(prompt) >= wanted.min_tokens
            finish = "stop" if is_stop else "length" if len(ids) - len(prompt) >= wanted.max_tokens else None
            choice: Json = {
                "index": 0,
                "text": "",
                "logprobs": _reported(logits, token_id, body),
                "finish_reason": finish,
                "stop_reason": token_id if token_id in wanted.stop_ids and is_stop else None,
                "prompt_token_ids": prompt if len(ids) == len(prompt) + 1 else None,
                "token_ids": [token_id],
            }
            yield {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": peer.model_name} | {
                "choices": [choice]
            }
        num_answer = len(ids) - len(prompt)
        usage = {"prompt_tokens": len(prompt), "total_tokens": len(ids), "completion_tokens": num_answer}
        if body.get("stream_options", {}).get("include_usage"):
            yield {
                "id": "cmpl-1",
                "object": "text_completion",
                "created": 1,
                "model": peer.model_name,
                "choices": [],
                "usage": usage | {"prompt_tokens_details": {"cached_tokens": num_cached}},
            }
        yield "[DONE]"

    async def whole(self, peer: Peer, body: Json) -> Json:
        events = [event async for event in self.events(peer, body) if isinstance(event, dict)]
        return events[0] | {"choices": [event["choices"][0] for event in events if event["choices"]][-1:]}


def _wanted(body: Json) -> Wanted:
    names = ("temperature", "top_p", "top_k", "min_p", "presence_penalty", "frequency_penalty", "repetition_penalty")
    given: dict[str, Any] = {name: body[name] for name in (*names, "max_tokens", "min_tokens", "seed") if name in body}
    biases = {int(key): min(100.0, max(-100.0, bias)) for key, bias in (body.get("logit_bias") or {}).items()}
    return Wanted(
        **given,
        logit_bias=biases,
        stop_ids=frozenset(body.get("stop_token_ids") or ()),
        allowed=body.get("allowed_token_ids"),
    )


def _check(peer: Peer, body: Json, prompt: list[int], wanted: Wanted) -> None:
    """Refuse what vLLM refuses."""
    if body.get("model") not in (None, peer.model_name):
        raise Refused(404, f"The model `{body['model']}` does not exist.")
    if len(prompt) + wanted.max_tokens > peer.max_context:
        raise Refused(400, f"This model's maximum context length is {peer.max_context} tokens.")
    if peer.refuses_grammars and "structured_outputs" in body:
        raise Refused(400, "Structured outputs are not available.")
    if body.get("priority") and not peer.has_priorities:
        raise Refused(400, "Got priority but Priority scheduling is not enabled.")
    if wanted.max_tokens < 1:
        raise Refused(400, f"max_tokens must be at least 1, got {wanted.max_tokens}.")
    if not 0 <= wanted.min_tokens <= wanted.max_tokens:
        raise Refused(400, f"min_tokens must be in [0, max_tokens={wanted.max_tokens}], got {wanted.min_tokens}.")
    if wanted.allowed is not None and not wanted.allowed:
        raise Refused(400, "allowed_token_ids is not None and empty!")
    for token_id in (*prompt, *wanted.logit_bias, *(wanted.allowed or ()), *wanted.stop_ids):
        if not 0 <= token_id < peer.vocab_size:
            raise Refused(400, f"token id {token_id} is out of vocabulary")


def _num_cached(peer: Peer, prompt: list[int], salt: str | None) -> int:
    """Return how many tokens of the prompt the prefix cache has, and add its blocks. The last token is computed."""
    ends = range(BLOCK, len(prompt), BLOCK)
    blocks: list[tuple[object, ...]] = [(salt, *prompt[:end]) for end in ends]
    num = next((number for number, block in enumerate(blocks) if block not in peer.cached), len(blocks))
    peer.cached.update(blocks)
    return num * BLOCK


def _reported(logits: Logits, token_id: int, body: Json) -> Json | None:
    """Return the logprobs of one token: the sampled one first, then as many alternatives as were asked for."""
    if (num := body.get("logprobs")) is None:
        return None
    found = logprobs(logits)
    top = [token_id, *(int(one) for one in (-found).argsort(kind="stable")[:num])]
    is_by_id = body.get("return_tokens_as_token_ids")
    name = f"token_id:{token_id}" if is_by_id else "?"
    return {
        "text_offset": [0],
        "token_logprobs": [max(float(found[token_id]), -9999.0)],
        "tokens": [name],
        "top_logprobs": [{f"token_id:{one}": max(float(found[one]), -9999.0) for one in top}],
    }
