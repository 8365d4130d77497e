"""The API of llama.cpp's server as the scripted peer plays it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import numpy as np

from engines.remote.spelling import is_cut
from tests.support.scripted_peer import Json, Peer, Refused
from tests.support.toy_model import Logits, Sampler, Wanted, logprobs

BLOCK = 16  # tokens; the real cache compares single ones


class PlayedLlamaCpp:
    """Routes and events of `llama-server`.

    A token after which the text ends inside a character has no event of its own. The penalties count the prompt too.
    """

    completions = "/completion"

    def error(self, status: int, message: str) -> Json:
        kind = {400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error"}
        return {"error": {"code": status, "message": message, "type": kind.get(status, "server_error")}}

    def answer(self, peer: Peer, path: str, body: Json) -> Json:
        match path:
            case "/v1/models":
                card = {"id": peer.model_name, "object": "model", "owned_by": "llamacpp", "created": 1}
                return {"object": "list", "data": [card | {"meta": {"n_vocab": peer.vocab_size}}]}
            case "/health":
                return {"status": "ok"}
            case "/props":
                return {"default_generation_settings": {"n_ctx": peer.max_context}, "model_path": "peer.gguf"}
            case "/slots":
                return {"slots": [{"id": 0, "is_processing": peer.num_running > 0}]}
            case "/tokenize":
                ids = peer.tokenizer.encode_raw(body["content"], may_add_bos=body.get("add_special", False))
                return {"tokens": ids}
        raise Refused(404, "File Not Found")

    async def events(self, peer: Peer, body: Json) -> AsyncIterator[Json | str]:
        prompt: list[int] = body["prompt"]
        _check(peer, prompt)
        num_cached = _num_cached(peer, prompt) if body.get("cache_prompt") else 0
        if body.get("return_progress"):
            yield _part([], 0, "") | {"prompt_progress": {"total": len(prompt), "cache": num_cached}}
        control_ids = _control_ids(peer)
        text, num_told, num, stop_type = b"", 0, 0, ""
        async for token_id, logits, why in _generated(peer, body):
            num, stop_type = num + 1, why
            text += b"" if token_id in control_ids else peer.tokenizer.token_bytes(token_id)
            if is_cut(text):
                continue
            content, num_told = text[num_told:].decode("utf-8", "replace"), len(text)
            yield _part([token_id], num, content) | _report([(token_id, logits)], body)
        yield _part([], num, "") | {"stop": True, "stop_type": stop_type}

    async def whole(self, peer: Peer, body: Json) -> Json:
        """Return the answer to a request without a stream, which tells all tokens."""
        _check(peer, body["prompt"])
        found = [one async for one in _generated(peer, body)]
        part = _part([token_id for token_id, _, _ in found], len(found), "")
        reported = _report([(token_id, logits) for token_id, logits, _ in found], body)
        return part | reported | {"stop": True, "stop_type": found[-1][2]}


async def _generated(peer: Peer, body: Json) -> AsyncIterator[tuple[int, Logits, str]]:
    """Yield each token, its logits, and why it is the last one."""
    wanted, ids, stop_type = _wanted(body), list(body["prompt"]), ""
    sampler = Sampler(wanted, ids)
    num_most = min(len(ids) + wanted.max_tokens, peer.max_context)
    while not stop_type:
        await asyncio.sleep(peer.token_s)
        logits = peer.model(ids)
        token_id = sampler.sample(logits)
        ids.append(token_id)
        stop_type = "eos" if token_id == peer.eos_id else "limit" if len(ids) >= num_most else ""
        yield token_id, logits, stop_type or "none"


def _wanted(body: Json) -> Wanted:
    biases = {int(token_id): -np.inf if bias is False else float(bias) for token_id, bias in body.get("logit_bias", [])}
    names = ("temperature", "top_k", "top_p", "min_p", "presence_penalty", "frequency_penalty")
    given: dict[str, Any] = {name: body[name] for name in names if name in body}
    return Wanted(
        **given,
        max_tokens=body["n_predict"],
        repetition_penalty=body.get("repeat_penalty", 1.0),
        logit_bias=biases,
        seed=None if body.get("seed", -1) == -1 else body["seed"],
        counts_prompt=True,
    )


def _check(peer: Peer, prompt: list[int]) -> None:
    if len(prompt) >= peer.max_context:
        raise Refused(400, f"the request exceeds the available context size ({peer.max_context} tokens)")


def _control_ids(peer: Peer) -> set[int]:
    return {
        token_id for text in peer.tokenizer.control_tokens if (token_id := peer.tokenizer.token_id(text)) is not None
    }


def _num_cached(peer: Peer, prompt: list[int]) -> int:
    """Return how many tokens of the prompt the cache has, and add the prompt. The last token is computed."""
    ends = range(BLOCK, len(prompt), BLOCK)
    num = next((end for end in reversed(ends) if tuple(prompt[:end]) in peer.cached), 0)
    peer.cached.update(tuple(prompt[:end]) for end in ends)
    return num


def _part(token_ids: list[int], num_predicted: int, content: str) -> Json:
    return {
        "index": 0,
        "content": content,
        "tokens": token_ids,
        "stop": False,
        "id_slot": 0,
        "tokens_predicted": num_predicted,
    }


def _report(sampled: list[tuple[int, Logits]], body: Json) -> Json:
    """Return the logprobs of the tokens."""
    if not (num := body.get("n_probs")):
        return {}
    reports = []
    for token_id, logits in sampled:
        found = logprobs(logits)
        top = [{"id": int(one), "logprob": float(found[one])} for one in (-found).argsort(kind="stable")[:num]]
        reports.append({"id": token_id, "logprob": float(found[token_id]), "top_logprobs": top})
    return {"completion_probabilities": reports}
