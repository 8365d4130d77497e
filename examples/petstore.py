"""An agent with the operations of an OpenAPI document as tools: it adds a pet to a store and finds it, over real HTTP.

Run `python3 examples/petstore.py`: it starts a small store on this machine and asks the embedded model. The document
of the store is examples/petstore.json.
"""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

sys.path.insert(0, str(Path(__file__).parents[1]))

from agent import Agent, openapi_tools

PETS = [{"id": 1, "name": "Tom", "species": "cat"}]


class Store(BaseHTTPRequestHandler):
    """The store: GET /pets?species=cat and POST /pets."""

    def do_GET(self) -> None:
        species = parse_qs(urlsplit(self.path).query).get("species")
        self.answer(200, [pet for pet in PETS if not species or pet["species"] in species])

    def do_POST(self) -> None:
        pet = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        PETS.append({"id": len(PETS) + 1, **pet})
        self.answer(201, PETS[-1])

    def answer(self, status: int, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        print(f"  the store got: {self.command} {self.path}")


def main() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Store)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    tools = openapi_tools(
        Path(__file__).parent / "petstore.json",
        base_url=f"http://127.0.0.1:{server.server_port}",
        allow_private=True,  # the store is on this machine; without it only public addresses are reached
    )
    agent = Agent(tools, temperature=0)
    for question in ("Add a dog named Rex to the store.", "Find pets in the store of the species dog."):
        print(f"user: {question}")
        answer = agent.run(question)
        for result in answer.results:
            print(f"  {result.name} returned: {result.text}")
        print(f"agent: {answer.text}")
    server.shutdown()
    server.server_close()


if __name__ == "__main__":
    main()
