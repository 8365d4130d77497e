"""Measures one front process before a scripted vLLM: `python -m bench.remote_streams --streams 1000`.

The front is `server.py --engine-url` with the small files of the embedded model, and the scripted peer writes a text of
its own at once. The program opens all streams at the same time and prints the resident memory of the front before and
at most while they run, whether all ended right, and the tokens that passed in a second.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import time
from multiprocessing.connection import Connection
from typing import Any

import httpx2

from bench.memory import resident_mb
from bench.servers import server

TEXT = ("The quick brown fox jumps over the lazy dog. " * 4).strip()
MODEL = "functionary"


def play(pipe: Connection, token_s: float) -> None:
    """Run the scripted peer until the other end of the pipe closes. Sends its URL."""
    from checkpoints.embedded_tokenizer import load_tokenizer
    from checkpoints.files import find_checkpoint
    from prompt_template import Piece
    from tests.support.peer_vllm import PlayedVLLM
    from tests.support.scripted_peer import Peer, running
    from tests.support.toy_model import script_model
    from text.tokenizer import Tokenizer

    tokenizer = Tokenizer(load_tokenizer(find_checkpoint(None)))
    size = 49_152
    script = tokenizer.encode([Piece(TEXT + "<|im_end|>", markup=True)]).ids
    peer = Peer(PlayedVLLM(), script_model(size, script), tokenizer, size, max_context=8192, token_s=token_s)
    with running(peer):
        pipe.send((peer.url, len(script)))
        pipe.recv()


async def opened(url: str, num: int) -> list[str]:
    """Open `num` streams together and return their texts."""

    async def one(client: httpx2.AsyncClient, number: int) -> str:
        body: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": f"Hello {number}"}]}
        text = ""
        asked = client.stream("POST", f"{url}/v1/chat/completions", json={**body, "stream": True, "temperature": 0})
        async with asked as answer:
            async for line in answer.aiter_lines():
                if line.startswith("data: {"):
                    chunk = json.loads(line.removeprefix("data: "))
                    for choice in chunk.get("choices") or [{"delta": {"content": f"{chunk}"}}]:
                        text += choice["delta"].get("content") or ""
                elif line == "data: [DONE]":
                    text += "[DONE]"
        return text

    limits = httpx2.Limits(max_connections=None)
    async with httpx2.AsyncClient(limits=limits, timeout=600, trust_env=False) as client:
        return await asyncio.gather(*(one(client, number) for number in range(num)))


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.remote_streams", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--streams", type=int, default=1000, help="default: %(default)s")
    parser.add_argument("--token-s", type=float, default=0.5, help="pause before each token (default: %(default)s)")
    asked = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=play, args=(there, asked.token_s), daemon=True)
    process.start()
    url, num_tokens = here.recv()
    with server("--engine-url", url) as port:
        asyncio.run(opened(f"http://127.0.0.1:{port}", 8))
        before = resident_mb(port)
        began = time.perf_counter()
        texts = asyncio.run(opened(f"http://127.0.0.1:{port}", asked.streams))
        seconds = time.perf_counter() - began
        after = resident_mb(port)  # Python gives memory of this kind back only in part, so that this is near the peak
    here.send("end")
    process.join(10)
    num_right = sum(text == TEXT + "[DONE]" for text in texts)
    print(f"{num_right} of {len(texts)} streams ended right")
    print(f"resident memory: {before:.0f} MB before, {after:.0f} MB after")
    print(f"{asked.streams * num_tokens / seconds:.0f} tokens/s")


if __name__ == "__main__":
    main()
