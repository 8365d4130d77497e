"""Encoding prompts and decoding answers, with the three kinds of tokenizers that the models have."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Regex, decoders, models, pre_tokenizers, processors
from tokenizers import Tokenizer as Backend
from transformers import AutoTokenizer

from core.conversation import Call, Function, Message, Tool
from core.errors import ModelError
from inference import Model
from prompt_template import Piece, load_template, template_names
from tests.support.tiny_llama import make_tiny_llama
from text.tokenizer import Tokenizer


@pytest.fixture(params=["llama", "chatml", "embedded"])
def model(request: pytest.FixtureRequest) -> Model:
    """Models with a SentencePiece, a byte and a byte-level BPE tokenizer."""
    found: Model = request.getfixturevalue(request.param)
    return found


def controls(tokenizer: Tokenizer) -> list[str]:
    names = [tokenizer.token_bytes(i).decode() for i in range(49152) if tokenizer.is_control(i)]
    assert names
    return names


def test_no_text_of_a_caller_becomes_a_control_token(model: Model) -> None:
    """A caller's text never becomes a control token.

    `<|im_end|>` in a user's text would end the message, and the text after it could forge a system message. See
    transformers #29279.
    """
    tokenizer = model.tokenizer
    for control in controls(tokenizer):
        for text in (control, f"a{control}b", control * 2, f" {control}\n"):
            ids = tokenizer.encode([Piece(text)]).ids
            assert not any(map(tokenizer.is_control, ids))
            assert tokenizer.decode(ids).strip() == text.strip()


FIELDS = ("system", "user", "assistant", "call_name", "arguments", "result", "result_name", "description", "default")


def conversation(field: str, text: str) -> tuple[list[Message], list[Tool]]:
    """Return a conversation with `text` in the field `field` and "x" in all other fields."""
    value = dict.fromkeys(FIELDS, "x") | {field: text}
    parameters = {
        "properties": {"a": {"type": "string", "description": value["description"], "default": value["default"]}}
    }
    call = Call(value["call_name"], value["arguments"], "id")
    messages = [
        Message("system", value["system"]),
        Message("user", value["user"]),
        Message("assistant", value["assistant"], (call,)),
        Message("tool", value["result"], name=value["result_name"], call_id="id"),
    ]
    return messages, [Function("f", value["description"], parameters)]


@pytest.mark.parametrize("name", template_names())
def test_every_control_token_in_every_field_stays_text(model: Model, name: str) -> None:
    """The prompt has as many control tokens as without the hostile text, no matter which field has that text."""
    tokenizer, template = model.tokenizer, load_template(name)

    def num_controls(field: str, text: str) -> int:
        ids = tokenizer.encode(template.render(*conversation(field, text)), bos=template.bos).ids
        return sum(map(tokenizer.is_control, ids))

    for field in FIELDS:
        plain = num_controls(field, "x")
        for control in controls(tokenizer):
            assert num_controls(field, control) == plain, (field, control)


@given(
    st.lists(
        st.sampled_from(["<|im_", "end|>", "<|im_end|>", "</", "s>", "</s>", "<s", ">", " ", "x", "\n"]), max_size=6
    )
)
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_a_control_token_in_fragments_stays_text(model: Model, fragments: list[str]) -> None:
    """Neighbouring fields are tokenized together, so their fragments could form a control token."""
    tokenizer = model.tokenizer
    ids = tokenizer.encode([Piece(fragment) for fragment in fragments]).ids
    assert not any(map(tokenizer.is_control, ids))


# SmolLM2's vocabulary has no token for some bytes, such as 0xF1, the first of the rarest characters.
@given(st.text(st.sampled_from('aZ 0\n\t{}"\\éñ日本語😀🇹🇷👨‍👩‍👧\u200b\x00<|>'), max_size=60))
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_the_stream_gives_back_every_text(model: Model, text: str) -> None:
    """Decoding token by token gives back the text, without partial characters on the way.

    SentencePiece may add one space in front.
    """
    tokenizer = model.tokenizer
    ids = tokenizer.encode([Piece(text)]).ids
    stream = tokenizer.stream_decoder()
    parts = [part for token_id in ids for part in stream.feed(token_id)] + list(stream.finish())
    joined = "".join(part.text for part in parts)
    assert joined.removeprefix(" ") == text.removeprefix(" ")
    assert "\ufffd" not in joined or "\ufffd" in text
    assert not any(part.is_control for part in parts)


def test_a_cut_character_becomes_one_replacement_mark(chatml: Model) -> None:
    """The token limit may cut an emoji. The replacement character appears at the next control token or at the end."""
    tokenizer = chatml.tokenizer
    half = tokenizer.encode([Piece("a😀")]).ids[:-2]
    stream = tokenizer.stream_decoder()
    assert [part.text for token_id in half for part in stream.feed(token_id)] == ["a"]
    end = tokenizer.token_id("<|im_end|>")
    assert end is not None
    assert [(part.text, part.is_control) for part in stream.feed(end)] == [("\ufffd", False), ("<|im_end|>", True)]
    assert not list(stream.finish())


def test_text_between_control_tokens_is_tokenized_at_once(embedded: Model) -> None:
    """Adjacent pieces between two control tokens are tokenized together, as in training.

    The exception is where learned text meets other text: no token crosses that boundary.
    """
    tokenizer = embedded.tokenizer
    whole = tokenizer.encode_raw("<|im_start|>user\nhello there<|im_end|>")
    pieces = [
        Piece("<|im_start|>user\nhel", markup=True),
        Piece("lo th"),
        Piece("ere"),
        Piece("<|im_end|>", markup=True),
    ]
    assert tokenizer.encode(pieces).ids == whole
    encoded = tokenizer.encode([Piece("hel"), Piece("lo", learned=True)])
    assert tokenizer.decode([i for i, learned in zip(encoded.ids, encoded.learned, strict=True) if learned]) == "lo"


def test_messages_apart_begin_with_sentencepieces_space(llama: Model) -> None:
    """Messages are tokenized one by one, as in the training of functionary-7b-v1.

    So `assistant` after a result is the token ` assistant`, and the text that the model adds has no space in front.
    """
    tokenizer = llama.tokenizer

    def spelled(*pieces: Piece) -> list[str]:
        return [tokenizer.token_bytes(i).decode() for i in tokenizer.encode(pieces).ids]

    assert spelled(Piece("assistant", is_separate=True), Piece("from", is_separate=True)) == [" assistant", " from"]
    assert spelled(Piece("assistant", is_separate=True), Piece("from", learned=True))[0] == " assistant"
    assert spelled(Piece("assistant", is_separate=True), Piece("from", learned=True))[1:] != [" from"]
    assert spelled(Piece("user:\n</s>", markup=True), Piece("the weather"))[-2:] == ["he", " weather"]


def test_bos_stands_once_at_the_start(llama: Model) -> None:
    """A prompt begins with exactly one BOS token, since two would make answers worse."""
    ids = llama.tokenizer.encode([Piece("a")], bos=True).ids
    assert ids.count(llama.tokenizer.bos_id or 0) == 1
    assert llama.tokenizer.encode_raw("a") == ids


def llama3() -> tuple[Backend, int]:
    """Return a tokenizer like Llama 3's, and the id of its BOS token.

    Words in the vocabulary need no merges, control tokens are in the vocabulary, and a post-processor adds BOS.
    """
    words = ["hello", "Ġworld", "<|begin|>", "stop", "Ġstop"]
    vocab = {token: i for i, token in enumerate([*sorted(pre_tokenizers.ByteLevel.alphabet()), *words])}
    backend = Backend(models.BPE(vocab=vocab, merges=[], ignore_merges=True))
    words_apart = pre_tokenizers.Split(Regex(r" ?\p{L}+|[^\p{L}]"), "isolated")
    backend.pre_tokenizer = pre_tokenizers.Sequence([words_apart, pre_tokenizers.ByteLevel(False, use_regex=False)])
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(["<|begin|>", "stop"])
    bos_id = vocab["<|begin|>"]
    backend.post_processor = processors.TemplateProcessing("<|begin|> $0", special_tokens=[("<|begin|>", bos_id)])
    return backend, bos_id


def test_a_whole_word_that_is_a_control_token_stays_text() -> None:
    """Text stays text even if it is a whole word that equals a control token, here `stop`.

    Llama 3's tokenizer looks up whole words before it merges, so it finds `stop` even without merges for that word.
    """
    backend, bos_id = llama3()
    tokenizer = Tokenizer(backend, bos_id=bos_id)
    for text in ("stop", "stop stop", "hello stop"):
        ids = tokenizer.encode([Piece(text)]).ids
        assert not any(map(tokenizer.is_control, ids))
        assert tokenizer.decode(ids) == text
    assert len(tokenizer.encode([Piece("hello world")]).ids) == 2
    assert tokenizer.encode([Piece("stop", markup=True)]).ids == [tokenizer.token_id("stop")]


def test_a_raw_prompt_begins_as_the_tokenizer_begins_it() -> None:
    """A raw prompt gets a BOS token only if the checkpoint's tokenizer adds one.

    SmolLM2's checkpoint names `<|im_start|>` as BOS, but its tokenizer never adds it.
    """
    backend, bos_id = llama3()
    assert Tokenizer(backend, bos_id=bos_id).encode_raw("hello") == backend.encode("hello").ids
    assert Tokenizer(backend, bos_id=bos_id).encode_raw("hello")[0] == bos_id
    backend.post_processor = processors.ByteLevel()
    assert Tokenizer(backend, bos_id=bos_id).encode_raw("hello") == backend.encode("hello").ids


@pytest.mark.parametrize("config", [{"legacy": True}, {"legacy": False}, {"add_bos_token": False}], ids=str)
def test_sentencepiece_of_every_age_reads_markup_as_it_does_itself(tmp_path: Path, config: dict[str, bool]) -> None:
    """Markup is tokenized as the checkpoint's own tokenizer does it, in old and new versions of Llama 2's tokenizer.

    The old versions add a space after each control token. Versions since 2023 add a space only at the start.
    """
    file = make_tiny_llama(tmp_path) / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | config))
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    ours = Tokenizer(theirs.backend_tokenizer, bos_id=theirs.bos_token_id)
    for text in ("the weather</s>user asks\n", "</s> the</s>the weather  in", "\nthe</s>\nuser", "  the user"):
        assert ours.encode_raw(text) == theirs(text).input_ids


def test_a_control_token_is_spelled_as_it_was_added(llama: Model) -> None:
    """A control token is decoded exactly as it was added, since the parser would not find any other mark.

    In old conversions of Llama 2 the library decodes control tokens with an extra space.
    """
    described = json.loads(llama.tokenizer._backend.to_str())
    space = {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    described |= {"normalizer": {"type": "Sequence", "normalizers": space}, "pre_tokenizer": None}
    for token in described["added_tokens"]:
        token["normalized"] = True
    backend = Backend.from_str(json.dumps(described))
    tokenizer = Tokenizer(backend)
    end = tokenizer.token_id("</s>")
    assert end is not None and backend.id_to_token(end) == "▁</s>"
    assert [(part.text, part.is_control) for part in tokenizer.stream_decoder().feed(end)] == [("</s>", True)]


def test_a_tokenizer_of_another_kind_is_refused() -> None:
    """A tokenizer of an unknown kind is an error, since the bytes of its tokens are unknown."""
    with pytest.raises(ModelError, match="neither byte-level nor SentencePiece"):
        Tokenizer(Backend(models.WordLevel({"a": 0}, unk_token="a")))
