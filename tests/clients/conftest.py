"""Fixtures for the tests with unmodified clients: their environments, and a server that calls their tools."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from inference import load_model
from server import create_app
from tests.support.client_environments import Environments, needs_node
from tests.support.conversation_engine import ConversationEngine, conversing
from tests.support.serving import serving


class Conversing:
    """A server whose model answers by rules, the prompts that its model was given, and the paths of all requests."""

    def __init__(self, app: FastAPI, engine: ConversationEngine) -> None:
        self.state = app.state
        self.engine = engine
        self.paths: list[str] = []
        self.url = ""
        self._app = app

    def forget(self) -> None:
        self.paths.clear()
        self.engine.prompts.clear()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self.paths.append(scope["path"])
        await self._app(scope, receive, send)


@pytest.fixture(scope="session")
def environments(request: pytest.FixtureRequest) -> Iterator[Environments]:
    """The environments of all collected tests. Their installation starts with the first of these tests."""
    params = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
    names = [str(param["environment"]) for param in params if "environment" in param]
    environments = Environments(names, node=any(needs_node(name) for name in names))
    yield environments
    environments.close()


@pytest.fixture(scope="session")
def conversing_server(chatml_folder: Path) -> Iterator[Conversing]:
    """A server whose model has the names that the clients ask for. Coding agents send long prompts."""
    model = load_model(str(chatml_folder), served_names=["functionary", "gpt-5.5"], dtype="float32")
    conversing_model, engine = conversing(model, max_context=200_000)
    server = Conversing(create_app(lambda: conversing_model), engine)
    with serving(server) as server.url:
        yield server
