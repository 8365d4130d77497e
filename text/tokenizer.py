"""Pieces of prompt to token ids, and token ids back to text as they arrive.

A caller's text never becomes a control token: it goes through a copy of the tokenizer that knows none.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tokenizers import Tokenizer as Backend

from core.errors import ModelError
from prompt_template import Piece

Before = Literal["nothing", "control", "text"]
_ANCHOR = "\n"


@dataclass(frozen=True)
class Encoded:
    """Token ids, and for each whether the model should learn it."""

    ids: list[int] = field(default_factory=list)
    learned: list[bool] = field(default_factory=list)

    def add(self, ids: Sequence[int], *, learned: bool) -> None:
        self.ids.extend(ids)
        self.learned.extend([learned] * len(ids))


@dataclass(frozen=True)
class Decoded:
    """Output text; `special` when it is the spelling of one control token."""

    text: str
    special: bool = False


class Tokenizer:
    """A checkpoint's tokenizer, as prompts and outputs need it. Safe to use from several threads."""

    def __init__(self, backend: Backend, *, bos_id: int | None = None, eos_id: int | None = None) -> None:
        """`backend` is the `tokenizers` object of a transformers tokenizer.

        Raises ModelError if ordinary text could become a control token.
        """
        self.bos_id = bos_id
        self.eos_id = eos_id
        self._backend = backend
        self._control = {token.content: i for i, token in backend.get_added_tokens_decoder().items()}
        self._control_text = {token_id: text for text, token_id in self._control.items()}
        longest_first = sorted(self._control, key=len, reverse=True)
        self._control_mark = (
            re.compile("(" + "|".join(map(re.escape, longest_first)) + ")") if longest_first else re.compile("(?!)")
        )
        self._to_bytes = _bytes_of_tokens(backend)
        self._plain = _without_control_tokens(backend, self._control)
        for text in self._control:
            if not self._control_text.keys().isdisjoint(self._ids(text)):
                raise ModelError(
                    f"The tokenizer cannot tell the control token {text} from the same characters in a message."
                )
        self._space_at = self._where_a_space_is_put()
        self._longest = max(len(text.encode()) for text in backend.get_vocab())
        self._puts_bos = bos_id is not None and list(backend.encode("").ids)[:1] == [bos_id]

    def token_id(self, text: str) -> int | None:
        """The id of a control token, or None."""
        return self._control.get(text)

    def encode(self, pieces: Sequence[Piece], *, bos: bool = False) -> Encoded:
        """The prompt's ids.

        Text between two control tokens is tokenized at once, as in training, but for the borders of what the model
        learns: an answer never has a token across them.
        """
        encoded = Encoded()
        before: Before = "nothing"
        if bos and self.bos_id is not None:
            encoded.add([self.bos_id], learned=False)  # before it is still nothing: tokenizers put it at the very end
        for run in _runs(pieces, self._control_mark):
            if run.markup and run.text in self._control:
                encoded.add([self._control[run.text]], learned=run.learned)
                before = "control"
                continue
            before = "nothing" if run.apart else before
            encoded.add(self._run_ids(run.text, before), learned=run.learned)
            before = "text"
        return encoded

    def least_tokens(self, text: str) -> int:
        """How many tokens `text` has at least: known at once, where tokenizing 2 MiB would take seconds."""
        return len(text.encode()) // self._longest

    def encode_raw(self, text: str) -> list[int]:
        """A raw prompt, whose writer owns all of it: control tokens spelled in it are control tokens.

        BOS goes first where the tokenizer itself puts it, which not every one with a BOS does (GPT-2's, SmolLM2's).
        """
        return self.encode([Piece(text, markup=True)], bos=self._puts_bos).ids

    def decode(self, ids: Sequence[int]) -> str:
        """All ids as one text, control tokens spelled out."""
        return b"".join(map(self.token_bytes, ids)).decode("utf-8", "replace")

    def stream(self) -> TokenStream:
        """A reader of an answer's ids."""
        return TokenStream(self)

    def is_control(self, token_id: int) -> bool:
        return token_id in self._control_text

    def token_bytes(self, token_id: int) -> bytes:
        """What the token stands for; empty for an id without a token."""
        if token_id in self._control_text:
            return self._control_text[token_id].encode()
        token = self._backend.id_to_token(token_id)
        return b"" if token is None else self._to_bytes(token)

    def _ids(self, text: str) -> list[int]:
        return list(self._plain.encode(text, add_special_tokens=False).ids)

    def _run_ids(self, text: str, before: Before) -> list[int]:
        """The ids of text, with a space before it only where the tokenizer would put one.

        SentencePiece puts a space before a text, and some of its tokenizers after every control token. Where none
        belongs, a line break goes first, which is a byte there and never merges with what follows, and is cut off.
        """
        if before in self._space_at or not self._space_at:
            return self._ids(text)
        return self._ids(_ANCHOR + text)[len(self._ids(_ANCHOR)) :]

    def _where_a_space_is_put(self) -> frozenset[Before]:
        """Empty for tokenizers that put none."""
        alone = self._ids("x")
        if alone == self._ids(_ANCHOR + "x")[len(self._ids(_ANCHOR)) :]:
            return frozenset()
        control = next(iter(self._control), "")
        after_control = list(self._backend.encode(control + "x", add_special_tokens=False).ids)[1:]
        return frozenset({"nothing", "control"} if after_control == alone else {"nothing"})


class TokenStream:
    """An answer's ids to text, never half a character; the spaces of SentencePiece are kept."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, token_id: int) -> Iterator[Decoded]:
        """The text that this token completes. A control token also ends a character that was cut short."""
        token = self._tokenizer.token_bytes(token_id)
        if self._tokenizer.is_control(token_id):
            yield from self.finish()
            yield Decoded(token.decode(), special=True)
        elif text := self._decoder.decode(token):
            yield Decoded(text)

    def finish(self) -> Iterator[Decoded]:
        """What is left at the end: a replacement character, if the output ends within a character."""
        text = self._decoder.decode(b"", final=True)
        self._decoder.reset()
        if text:
            yield Decoded(text)


def _runs(pieces: Sequence[Piece], control_mark: re.Pattern[str]) -> Iterator[Piece]:
    """The pieces cut at the control tokens of markup, what is left between two cuts joined."""
    run: Piece | None = None
    for piece in pieces:
        apart = piece.apart
        for text in control_mark.split(piece.text) if piece.markup else [piece.text]:
            is_control = piece.markup and control_mark.fullmatch(text) is not None
            if run and (apart or is_control or run.learned != piece.learned):
                yield run
                run = None
            if is_control:
                yield Piece(text, markup=True, learned=piece.learned)
            elif text:
                run = Piece((run.text if run else "") + text, learned=piece.learned, apart=run.apart if run else apart)
            apart = apart and not text
    if run:
        yield run


def _without_control_tokens(backend: Backend, control: Mapping[str, int]) -> Backend:
    """A copy that reads every text as text: no added tokens, and none in the vocabulary that merges or a whole word
    (Llama 3's `ignore_merges`) could spell."""
    plain = json.loads(backend.to_str())
    plain.update(added_tokens=[], post_processor=None, truncation=None, padding=None)
    model = plain["model"]
    if model["type"] == "BPE":
        # No word has a space in it: both kinds of tokenizer write it as another character.
        unspoken = {text: f" {text}" for text in control}
        model["vocab"] = {unspoken.get(token, token): i for token, i in model["vocab"].items()}
        model["unk_token"] = unspoken.get(model["unk_token"], model["unk_token"])
        pairs = (merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"])
        model["merges"] = [(left, right) for left, right in pairs if not {left, right, left + right} & unspoken.keys()]
    return Backend.from_str(json.dumps(plain))


def _bytes_of_tokens(backend: Backend) -> Callable[[str], bytes]:
    """How this vocabulary spells bytes: GPT-2's printable alphabet, or SentencePiece's underlined spaces and <0x..>."""
    decoder = json.dumps(json.loads(backend.to_str())["decoder"])
    if '"ByteLevel"' in decoder:
        alphabet = _byte_level_alphabet()
        return lambda token: bytes(alphabet.get(char, 0x3F) for char in token)
    if "\\u2581" in decoder:
        has_bytes = '"ByteFallback"' in decoder
        return lambda token: _sentencepiece_bytes(token, has_bytes)
    raise ModelError("The tokenizer is neither byte-level nor SentencePiece; only these two kinds are served.")


def _sentencepiece_bytes(token: str, has_bytes: bool) -> bytes:
    if has_bytes and len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
        return bytes([int(token[3:5], 16)])
    return token.replace("\u2581", " ").encode()


def _byte_level_alphabet() -> dict[str, int]:
    """GPT-2's characters for the 256 bytes: printable Latin-1 stands for itself, the rest follows from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + i): byte for i, byte in enumerate(others)}
