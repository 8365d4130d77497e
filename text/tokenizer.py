"""Convert the pieces of a prompt to token ids, and sampled token ids to text.

A caller's text never becomes a control token: it is tokenized with another tokenizer that has none.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tokenizers import Tokenizer as Backend
from tokenizers.models import BPE

from core.errors import ModelError
from prompt_template import Piece

Preceding = Literal["nothing", "control", "text"]  # what stands before a text: nothing, a control token, or text
_LONG = 10_000  # characters from which a text is tokenized without the GIL, so that it does not stop the engine
_ANCHOR = "\n"  # one token in every SentencePiece vocabulary; it never merges with the text after it


@dataclass(frozen=True)
class Encoded:
    """Token ids, and for each token whether it is learned, that is, whether it counts in the loss."""

    ids: list[int] = field(default_factory=list)
    learned: list[bool] = field(default_factory=list)

    def add(self, ids: Sequence[int], *, learned: bool) -> None:
        self.ids.extend(ids)
        self.learned.extend([learned] * len(ids))


@dataclass(frozen=True)
class Decoded:
    """A piece of output text. With `is_control`, it is the spelling of one control token."""

    text: str
    is_control: bool = False


class Tokenizer:
    """The tokenizer of a checkpoint, for prompts and answers. Safe to use from several threads."""

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
        self._control_pattern = (
            re.compile("(" + "|".join(map(re.escape, longest_first)) + ")") if longest_first else re.compile("(?!)")
        )
        self._to_bytes = _bytes_of_tokens(backend)
        self._plain = _without_control_tokens(backend, self._control)
        for text in self._control:
            if not self._control_text.keys().isdisjoint(self._ids(text)):
                raise ModelError(
                    f"The tokenizer cannot tell the control token {text} from the same characters in a message."
                )
        self._space_after = self._find_added_spaces()
        self._max_token_bytes = max(map(len, map(str.encode, backend.get_vocab())))
        self._adds_bos = bos_id is not None and list(backend.encode("").ids)[:1] == [bos_id]

    @property
    def backend(self) -> Backend:
        """The tokenizer of the library `tokenizers`."""
        return self._backend

    @property
    def control_tokens(self) -> Collection[str]:
        """The spellings of all control tokens."""
        return self._control.keys()

    def token_id(self, text: str) -> int | None:
        """Return the id of the control token spelled `text`, or None."""
        return self._control.get(text)

    def encode(self, pieces: Sequence[Piece], *, bos: bool = False) -> Encoded:
        """Tokenize the pieces of a prompt.

        The text between two control tokens is tokenized in one stretch, as in training. The exception is where learned
        text begins or ends: no token crosses that boundary, because an answer consists of whole tokens.
        """
        encoded = Encoded()
        preceding: Preceding = "nothing"
        if bos and self.bos_id is not None:
            # `preceding` stays "nothing": tokenizers add a space at the start of a text, then put BOS before the space.
            encoded.add([self.bos_id], learned=False)
        for segment in _segments(pieces, self._control_pattern):
            if segment.markup and segment.text in self._control:
                encoded.add([self._control[segment.text]], learned=segment.learned)
                preceding = "control"
                continue
            preceding = "nothing" if segment.is_separate else preceding
            encoded.add(self._segment_ids(segment.text, preceding), learned=segment.learned)
            preceding = "text"
        return encoded

    def min_num_tokens(self, text: str) -> int:
        """Return a lower bound of the number of tokens of `text`. Fast: tokenizing 2 MiB would take seconds."""
        return len(text.encode()) // self._max_token_bytes

    def encode_raw(self, text: str, *, may_add_bos: bool = True) -> list[int]:
        """Tokenize a raw prompt, in which the spelling of a control token becomes that control token.

        BOS comes first only if the checkpoint's tokenizer adds it. The tokenizers of GPT-2 and SmolLM2 have a BOS token
        but do not add it.
        """
        return self.encode([Piece(text, markup=True)], bos=self._adds_bos and may_add_bos).ids

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of all ids, in which control tokens are spelled out."""
        return b"".join(map(self.token_bytes, ids)).decode("utf-8", "replace")

    def stream_decoder(self) -> StreamDecoder:
        """Return a new decoder for the token ids of one answer."""
        return StreamDecoder(self)

    def has_token(self, token_id: int) -> bool:
        """Whether the vocabulary has a token with this id. The logits may be wider than the vocabulary."""
        return self._backend.id_to_token(token_id) is not None

    def is_control(self, token_id: int) -> bool:
        return token_id in self._control_text

    def token_bytes(self, token_id: int) -> bytes:
        """Return the bytes that a token stands for, or no bytes for an id without a token."""
        if token_id in self._control_text:
            return self._control_text[token_id].encode()
        token = self._backend.id_to_token(token_id)
        return b"" if token is None else self._to_bytes(token)

    def _ids(self, text: str) -> list[int]:
        if len(text) > _LONG:  # only the call for many texts releases the GIL; it costs short texts more
            return list(self._plain.encode_batch_fast([text], add_special_tokens=False)[0].ids)
        return list(self._plain.encode(text, add_special_tokens=False).ids)

    def _segment_ids(self, text: str, preceding: Preceding) -> list[int]:
        """Tokenize text with SentencePiece's added space only where the checkpoint's own tokenizer adds one.

        SentencePiece adds a space at the start of a text, and some tokenizers also after every control token. Where the
        space must be absent, a line break is tokenized in front of the text and its tokens are removed again.
        """
        if preceding in self._space_after or not self._space_after:
            return self._ids(text)
        return self._ids(_ANCHOR + text)[len(self._ids(_ANCHOR)) :]

    def _find_added_spaces(self) -> frozenset[Preceding]:
        """Find where the tokenizer adds a space to a text: at the start, after a control token, both or nowhere."""
        ids = self._ids("x")
        if ids == self._ids(_ANCHOR + "x")[len(self._ids(_ANCHOR)) :]:
            return frozenset()
        control = next(iter(self._control), "")
        after_control = list(self._backend.encode(control + "x", add_special_tokens=False).ids)[1:]
        return frozenset({"nothing", "control"} if after_control == ids else {"nothing"})


class StreamDecoder:
    """Decodes the token ids of one answer. Holds back incomplete characters and keeps the spaces of SentencePiece."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, token_id: int) -> Iterator[Decoded]:
        """Return the text that this token completes. A control token also ends an incomplete character."""
        token = self._tokenizer.token_bytes(token_id)
        if self._tokenizer.is_control(token_id):
            yield from self.finish()
            yield Decoded(token.decode(), is_control=True)
        elif text := self._decoder.decode(token):
            yield Decoded(text)

    def finish(self) -> Iterator[Decoded]:
        """Return a replacement character (U+FFFD) if the output ends within a character, else nothing."""
        text = self._decoder.decode(b"", final=True)
        self._decoder.reset()
        if text:
            yield Decoded(text)


def _segments(pieces: Sequence[Piece], control_pattern: re.Pattern[str]) -> Iterator[Piece]:
    """Cut the pieces at the control tokens in markup, and join the texts between two cuts."""
    segment: Piece | None = None
    for piece in pieces:
        is_separate = piece.is_separate
        for text in control_pattern.split(piece.text) if piece.markup else [piece.text]:
            is_control = piece.markup and control_pattern.fullmatch(text) is not None
            if segment and (is_separate or is_control or segment.learned != piece.learned):
                yield segment
                segment = None
            if is_control:
                yield Piece(text, markup=True, learned=piece.learned)
            elif text:
                segment = Piece(
                    (segment.text if segment else "") + text,
                    learned=piece.learned,
                    is_separate=segment.is_separate if segment else is_separate,
                )
            is_separate = is_separate and not text
    if segment:
        yield segment


def _without_control_tokens(backend: Backend, control: Mapping[str, int]) -> Backend:
    """Return a tokenizer like `backend` that never produces a control token.

    It has no added tokens, and shares the vocabulary with `backend`: a copy takes a second and 100 MB if it is large.
    """
    model = backend.model
    if isinstance(model, BPE) and any(model.token_to_id(text) is not None for text in control):
        described = json.loads(backend.to_str())
        if _can_become_control(described["model"], control):
            return _respelled(described, control)
    plain = Backend(model)
    plain.normalizer, plain.pre_tokenizer, plain.decoder = backend.normalizer, backend.pre_tokenizer, backend.decoder
    return plain


def _can_become_control(model: Mapping[str, Any], control: Mapping[str, int]) -> bool:
    """Return whether BPE can produce a token that is spelled like a control token: by a merge, a lookup or itself."""
    if model["ignore_merges"] or model["byte_fallback"] or model["unk_token"] is not None or min(map(len, control)) < 2:
        return True
    merges = (merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"])
    return any(left + right in control for left, right in merges)


def _respelled(described: dict[str, Any], control: Mapping[str, int]) -> Backend:
    """Return the tokenizer without added tokens, and with other spellings of the control tokens in its vocabulary.

    So neither merges nor the lookup of whole words (`ignore_merges` of Llama 3) can produce a control token.
    """
    described.update(added_tokens=[], post_processor=None, truncation=None, padding=None)
    model = described["model"]
    # No text can match: byte-level tokenizers and SentencePiece replace spaces by another character.
    unreachable = {text: f" {text}" for text in control}
    model["vocab"] = {unreachable.get(token, token): i for token, i in model["vocab"].items()}
    model["unk_token"] = unreachable.get(model["unk_token"], model["unk_token"])
    pairs = (merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"])
    model["merges"] = [(left, right) for left, right in pairs if not {left, right, left + right} & unreachable.keys()]
    return Backend.from_str(json.dumps(described))


def _bytes_of_tokens(backend: Backend) -> Callable[[str], bytes]:
    """Return the function from a token of the vocabulary to its bytes.

    Byte-level vocabularies use GPT-2's alphabet of 256 printable characters. SentencePiece writes a space as U+2581 and
    a single byte as <0xNN>. Raises ModelError for a vocabulary of another kind.
    """
    decoder = repr(backend.decoder)
    if "ByteLevel(" in decoder:
        alphabet = _byte_level_alphabet()
        return lambda token: bytes(alphabet.get(char, 0x3F) for char in token)
    if "\u2581" in decoder:
        has_bytes = "ByteFallback(" in decoder
        return lambda token: _sentencepiece_bytes(token, has_bytes)
    raise ModelError("The tokenizer is neither byte-level nor SentencePiece; only these two kinds are served.")


def _sentencepiece_bytes(token: str, has_bytes: bool) -> bytes:
    if has_bytes and len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
        return bytes([int(token[3:5], 16)])
    return token.replace("\u2581", " ").encode()


def _byte_level_alphabet() -> dict[str, int]:
    """Return a map from GPT-2's character for each byte to the byte.

    A printable Latin-1 character stands for its own byte; the other bytes are numbered from U+0100 on.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + i): byte for i, byte in enumerate(others)}
