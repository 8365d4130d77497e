"""A server for the application of a test file, which its fixture `app` returns, clients of it, and a browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from openai import OpenAI

from inference import Model
from tests.support.abuse_client import Client
from tests.support.browser import Page, browser
from tests.support.server_tools import RAN
from tests.support.serving import serving
from tests.support.turns_engine import TurnsEngine, with_turns


@pytest.fixture(scope="module")
def url(app: FastAPI) -> Iterator[str]:
    with serving(app) as url:
        yield url


@pytest.fixture
def official(url: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0, timeout=60) as client:
        yield client


@pytest.fixture
def raw(url: str) -> Iterator[Client]:
    with Client(url) as client:
        yield client


@pytest.fixture(scope="module")
def turns(chatml: Model) -> tuple[Model, TurnsEngine]:
    """A model whose engine plays what a test gives it, for servers that run tools."""
    return with_turns(chatml)


@pytest.fixture
def engine(turns: tuple[Model, TurnsEngine]) -> TurnsEngine:
    RAN.clear()
    return turns[1]


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A headless browser."""
    with browser(tmp_path_factory.mktemp("browser")) as page:
        yield page
