"""The routes of stored responses, with the official client, over both stores."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from openai import BadRequestError, InternalServerError, NotFoundError, OpenAI

from inference import Model
from server import create_app
from stores.memory import MemoryStore
from stores.sqlite import SqliteStore
from stores.store import ResponseStore
from tests.support.abuse_client import Client, check_answer
from tests.support.scripted_engine import scripted
from tests.support.serving import serving
from tests.support.started_server import started
from tests.support.stored import stored
from web.settings import Settings

KEYS = ["sk-first-key", "sk-second-key"]
FIRST, SECOND = (hashlib.sha256(key.encode()).hexdigest() for key in KEYS)
PATH = "/v1/responses/resp_1"


@pytest.fixture(scope="module", params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ResponseStore:
    if request.param == "memory":
        return MemoryStore()
    return SqliteStore(tmp_path_factory.mktemp("store") / "responses.db")


@pytest.fixture(scope="module")
def url(chatml: Model, store: ResponseStore) -> Iterator[str]:
    model, _ = scripted(chatml, "all\nhello")
    with serving(create_app(lambda: model, Settings(api_keys=KEYS, response_store=store))) as url:
        yield url


def connected(url: str, key: str) -> OpenAI:
    return OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=30)


@pytest.fixture
def client(url: str) -> Iterator[OpenAI]:
    with connected(url, KEYS[0]) as client:
        yield client


def test_a_response_is_retrieved_and_deleted(store: ResponseStore, client: OpenAI) -> None:
    store.put(FIRST, stored("1", "hello"))
    assert client.responses.retrieve("resp_1").output_text == "hello"
    raw = client.responses.with_raw_response.delete("resp_1")
    assert raw.http_response.json() == {"id": "resp_1", "object": "response", "deleted": True}
    for call in (client.responses.retrieve, client.responses.delete, client.responses.input_items.list):
        with pytest.raises(NotFoundError) as caught:
            call("resp_1")
        assert caught.value.body == {
            "message": "Response with id 'resp_1' not found.",
            "type": "invalid_request_error",
            "param": None,
            "code": None,
        }


def test_a_response_belongs_to_its_key(store: ResponseStore, url: str, client: OpenAI) -> None:
    """A key cannot read, list or delete what another key stored, and cannot tell it from an unknown response."""
    store.put(FIRST, stored("1"))
    with connected(url, KEYS[1]) as other:
        for call in (other.responses.retrieve, other.responses.delete, other.responses.input_items.list):
            with pytest.raises(NotFoundError, match="Response with id 'resp_1' not found"):
                call("resp_1")
    assert client.responses.retrieve("resp_1")
    with Client(url) as nobody:
        assert nobody.send("GET", PATH).status == 401


def test_input_items_come_in_pages(store: ResponseStore, client: OpenAI) -> None:
    """The client walks all pages by `after` and `has_more`: the last item first, unless told otherwise."""
    store.put(FIRST, stored("many", num_items=45))
    ids = [f"msg_{number}" for number in range(45)]
    assert [item.id for item in client.responses.input_items.list("resp_many")] == ids[::-1]
    assert [item.id for item in client.responses.input_items.list("resp_many", order="asc", limit=7)] == ids
    assert [item.id for item in client.responses.input_items.list("resp_many", order="asc", after="msg_40")] == ids[41:]
    page = client.responses.input_items.list("resp_many", limit=100, include=["message.output_text.logprobs"])
    assert len(page.data) == 45
    assert not page.has_more
    assert page.to_dict().items() >= {"object": "list", "first_id": "msg_44", "last_id": "msg_0"}.items()
    page = client.responses.input_items.list("resp_many", after="msg_0")
    assert page.to_dict() == {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}


@pytest.mark.parametrize(
    ("query", "param", "message"),
    [
        ("limit=0", "limit", "Invalid 'limit': integer below minimum value. Expected a value >= 1, but got 0 instead."),
        ("limit=101", "limit", "Invalid 'limit': integer above maximum value. Expected a value <= 100, but got 101"),
        ("limit=-1", "limit", "Invalid 'limit': integer below minimum value."),
        ("limit=x", "limit", "Invalid type for 'limit': expected an integer, but got a string instead."),
        ("limit=", "limit", "Invalid type for 'limit': expected an integer, but got a string instead."),
        ("limit=" + "9" * 5_000, "limit", "Invalid type for 'limit': expected an integer"),
        ("order=up", "order", "Invalid value: 'up'. Supported values are: 'asc' and 'desc'."),
        ("after=msg_9", "after", "Invalid 'after': this response has no input item with the id 'msg_9'."),
    ],
    ids=lambda value: value[:12],
)
def test_a_wrong_page(store: ResponseStore, url: str, query: str, param: str, message: str) -> None:
    store.put(FIRST, stored("1"))
    with Client(url, KEYS[0]) as client:
        answer = client.send("GET", f"{PATH}/input_items?{query}")
        check_answer(answer)
        assert (answer.status, answer.error["param"]) == (400, param)
        assert answer.error["message"].startswith(message)


def test_what_a_stored_response_cannot_do(store: ResponseStore, client: OpenAI) -> None:
    store.put(FIRST, stored("1"))
    with pytest.raises(BadRequestError, match="A stored response cannot be streamed") as caught:
        client.responses.retrieve("resp_1", stream=True)
    assert caught.value.param == "stream"
    assert client.responses.retrieve("resp_1", stream=False, include=["reasoning.encrypted_content"]).id == "resp_1"
    with pytest.raises(BadRequestError, match="Only responses with background: true can be cancelled"):
        client.responses.cancel("resp_1")
    with pytest.raises(NotFoundError):
        client.responses.cancel("resp_2")


def test_ids_as_an_attacker_writes_them(store: ResponseStore, url: str) -> None:
    store.put(FIRST, stored("1"))
    with Client(url, KEYS[0]) as client:
        for name in (
            "%00",
            "%ff",
            "%ed%a0%bd",
            "'%20OR%201=1--",
            "resp_1%00",
            "a" * 5_000,
            "..",
            "%2e%2e",
            "%25",
            "😀",
        ):
            path = "/v1/responses/" + "".join(c if c.isascii() else "%F0%9F%98%80" for c in name)
            for method in ("GET", "DELETE", "HEAD"):
                answer = client.send(method, path)
                assert answer.status == 404, (method, name, answer)
                if method != "HEAD":
                    check_answer(answer)
        assert client.send("HEAD", PATH).status == 200
        assert client.send("GET", PATH).status == 200


def test_hints_for_wrong_paths_and_methods(url: str) -> None:
    """A path with two methods named one of them only."""
    with Client(url, KEYS[0]) as client:
        answer = client.send("PUT", PATH)
        assert (answer.status, answer.headers["allow"]) == (405, "DELETE, GET, HEAD")
        for path in (PATH, f"{PATH}/input_items", f"{PATH}/cancel"):
            answer = client.send("GET", path.removeprefix("/v1"))
            assert answer.status == 404
            assert f"The path is {path} here: set your client's base URL to {url}/v1." in answer.error["message"]
        answer = client.send("GET", f"{PATH}/nope")
        assert (answer.status, "The path is" in answer.error["message"]) == (404, False)


def test_a_file_that_fails_is_a_503(chatml: Model, tmp_path: Path) -> None:
    """A store that fails answers 503 until its file is back. Nothing is lost, and the model is served meanwhile."""
    file = tmp_path / "responses.db"
    store = SqliteStore(file)
    store.put(FIRST, stored("1", "hello"))
    model, _ = scripted(chatml, "all\nhello")
    with (
        serving(create_app(lambda: model, Settings(api_keys=KEYS, response_store=store))) as url,
        connected(url, KEYS[0]) as client,
    ):
        file.rename(tmp_path / "away.db")
        for call in (client.responses.retrieve, client.responses.delete, client.responses.input_items.list):
            with pytest.raises(InternalServerError) as caught:
                call("resp_1")
            assert caught.value.status_code == 503
            assert caught.value.body == {
                "message": "The store of responses cannot be used now: its file is gone.",
                "type": "service_unavailable_error",
                "param": None,
                "code": "store_unavailable",
            }
            assert caught.value.response.headers["retry-after"]
        asked = client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "hi"}])
        assert asked.choices[0].finish_reason == "stop"
        (tmp_path / "away.db").rename(file)
        assert client.responses.retrieve("resp_1").output_text == "hello"
        file.rename(tmp_path / "away.db")
        file.write_text("garbage " * 1_000)
        for reason in ("its file was replaced", "file is not a database", "file is not a database"):
            with pytest.raises(InternalServerError, match=reason):
                client.responses.retrieve("resp_1")
        (tmp_path / "away.db").rename(file)
        assert client.responses.retrieve("resp_1").output_text == "hello"
    assert KEYS[0].encode() not in file.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == [file.name]  # the application closed its store


def test_the_option_of_the_command_line(chatml_folder: Path, tmp_path: Path) -> None:
    """`--response-store` reads what an earlier run has kept; the bound removes the oldest; SIGTERM closes the file."""
    file = tmp_path / "responses.db"
    store = SqliteStore(file)
    for name in ("1", "2"):
        store.put(FIRST, stored(name, "x" * 200_000))  # 0.8 MB each, since an answer is kept with its context
    store.close()
    options = ("--model", str(chatml_folder), "--response-store", str(file), "--response-store-mb", "1")
    with started(*options, "--api-key", KEYS[0]) as server:
        with Client(server.url, KEYS[0]) as client:
            assert [client.send("GET", f"/v1/responses/resp_{name}").status for name in ("1", "2")] == [404, 200]
        server.terminate()
        assert server.exit_status() == 0
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
