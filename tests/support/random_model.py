"""A small stand-in for a model in tests of constraints: real tokenizers, and tokens sampled at random."""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers import Tokenizer as Backend
from transformers import PreTrainedTokenizerFast

from core.conversation import Tool
from core.generation import Constraint
from core.turn_format import ArgsDelta, CallStart, TextDelta
from guarantees.matcher import ConstraintCompiler, Matcher
from prompt_template import PromptTemplate, load_template, template_names
from text.parser import OutputParser
from text.tokenizer import Tokenizer


def _control_like(template: PromptTemplate) -> set[str]:
    """Return the marks of a template that are control tokens."""
    regions = template.turn_format([]).regions.values()
    return {mark.text for region in regions for mark in region.marks if mark.is_control}


_TEMPLATES = [load_template(name) for name in template_names()]
CONTROL = sorted(
    {"<s>", "</s>", "<|eot_id|>", "<|end_of_text|>", "<|im_start|>", "<|im_end|>"}.union(
        *((*one.stop, *one.needed_tokens, *one.optional_tokens, *_control_like(one)) for one in _TEMPLATES)
    )
)
_CONTROL = re.compile("(" + "|".join(map(re.escape, CONTROL)) + ")")
CORPUS = [
    '>>>all\nThe weather in Paris is sunny.>>>get_weather\n{"location": "Istanbul", "format": "celsius", "days": 3}',
    '\nget_weather:\n{"city": "Zürich", "list": [1, 2, 3], "object": {"a": true, "b": null}}',
    ' to=functions.search:\n{"query": "x"} user: assistant numbers: 12345 67890 1.5e-3',
    "the quick brown fox jumps over the lazy dog, and then 北京 こんにちは 😀 éèü",
] * 4


@functools.cache
def byte_level(*further: str) -> PreTrainedTokenizerFast:
    """Return a tokenizer like those of GPT-2 and Llama 3, but with tokens that go across line breaks and braces.

    It is trained on CORPUS and on the `further` texts.
    """
    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator(
        [*CORPUS, *further],
        trainers.BpeTrainer(vocab_size=700, initial_alphabet=alphabet, max_token_length=9, show_progress=False),
    )
    return _finished(backend)


@functools.cache
def sentencepiece() -> PreTrainedTokenizerFast:
    """Return a tokenizer like that of Llama 2: words begin with a space, and any other byte is one token."""
    pieces = {
        piece for text in CORPUS for word in text.replace("\n", " ").split() for piece in (f"▁{word[:6]}", word[:3])
    }
    pieces |= {char for text in CORPUS for char in text if char not in " \n"}
    tokens = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *sorted(pieces - {"▁"})]
    merges = sorted({(piece[:at], piece[at:]) for piece in pieces for at in range(1, len(piece))})
    vocab = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    known = [pair for pair in merges if pair[0] in vocab and pair[1] in vocab]
    backend = Backend(models.BPE(vocab=vocab, merges=known, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return _finished(backend)


def _finished(backend: Backend) -> PreTrainedTokenizerFast:
    backend.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in CONTROL])
    tokenizer: PreTrainedTokenizerFast = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>")  # type: ignore[no-untyped-call]
    return tokenizer


@dataclass
class Turn:
    """The text and the calls that the parser reads from the tokens of a walk."""

    ids: list[int] = field(default_factory=list)
    text: str = ""
    calls: list[tuple[str, str]] = field(default_factory=list)
    is_cut: bool = False


class RandomModel:
    """A model that samples any allowed token.

    After `patience` tokens the model prefers tokens that bring the answer to its end.
    """

    def __init__(self, backend: PreTrainedTokenizerFast, *, padding: int = 7) -> None:
        self.tokenizer = Tokenizer(backend.backend_tokenizer, eos_id=backend.eos_token_id)
        self.vocab_size = len(backend) + padding  # some checkpoints have more logits than the tokenizer has tokens
        self.constraints = ConstraintCompiler(backend.backend_tokenizer, self.vocab_size, eos_id=backend.eos_token_id)
        self._closing = [self._ids_of(text) for text in ('"', "}", "]", ">>>")]

    def stop_ids(self, template: PromptTemplate) -> list[int]:
        return [found for text in template.stop if (found := self.tokenizer.token_id(text)) is not None]

    def tokenize(self, text: str) -> list[int]:
        """Return ordinary tokens for `text`, without the space that SentencePiece puts in front."""
        return self.constraints.vocabulary.tokenize(text.encode())

    def walk(
        self, constraint: Constraint, stop_ids: Sequence[int], seed: int, *, script: str = "", patience: int = 30
    ) -> tuple[list[int], bool]:
        """Sample one answer that begins with `script`.

        Return the answer's token ids, and whether the token limit cut the answer.
        """
        drawing, matcher = random.Random(seed), self.constraints.matcher(constraint)
        ids = self._say(matcher, script)
        assert ids is not None, f"{script!r} is not allowed"
        num_said = len(ids)
        while len(ids) < num_said + patience + 300:
            token_id = self._draw(matcher, drawing, stop_ids, is_tired=len(ids) > num_said + patience)
            matcher.accept(token_id)
            ids.append(token_id)
            if token_id in stop_ids:
                return ids, False
        return ids, True

    def allows(self, constraint: Constraint, text: str) -> bool:
        """Return whether the constraint allows `text`. Names of control tokens in `text` count as control tokens."""
        return self._say(self.constraints.matcher(constraint), text) is not None

    def read(self, template: PromptTemplate, tools: Sequence[Tool], ids: Sequence[int], prefill: str = "") -> Turn:
        """Parse the token ids into the text and the calls that a client gets."""
        parser, decoder = OutputParser(template.turn_format(tools)), self.tokenizer.stream_decoder()
        turn = Turn(list(ids))
        events = [event for part in _CONTROL.split(prefill) for event in parser.feed(part, is_control=part in CONTROL)]
        for token_id in ids:
            for decoded in decoder.feed(token_id):
                events += parser.feed(decoded.text, is_control=decoded.is_control)
        for event in [*events, *parser.finish()]:
            match event:
                case TextDelta(text):
                    turn.text += text
                case CallStart(name):
                    turn.calls.append((name, ""))
                case ArgsDelta(text):
                    name, arguments = turn.calls[-1]
                    turn.calls[-1] = (name, arguments + text)
        return turn

    def _say(self, matcher: Matcher, text: str) -> list[int] | None:
        """Return token ids that spell `text`, or None if the constraint forbids `text`.

        Each token is the longest that the constraint allows.
        """
        ids: list[int] = []
        for part in _CONTROL.split(text):
            left = part.encode()
            while left:
                control_id = self.tokenizer.token_id(part)
                mask = matcher.mask()
                ways = [control_id] if control_id is not None else self._prefixes_of(left[:20])
                allowed = [token_id for token_id in ways if mask is None or bool(mask[token_id])]
                if not allowed:
                    return None
                matcher.accept(allowed[-1])
                ids.append(allowed[-1])
                left = left[len(self.tokenizer.token_bytes(allowed[-1])) :]
        return ids

    def _prefixes_of(self, text: bytes) -> list[int]:
        """Return the ids of the tokens whose bytes are a prefix of `text` or all of it, shortest first."""
        ends = range(1, len(text) + 1)
        return [token_id for end in ends for token_id in self.constraints.vocabulary.ids_of(text[:end])]

    def _draw(self, matcher: Matcher, drawing: random.Random, stop_ids: Sequence[int], *, is_tired: bool) -> int:
        mask = matcher.mask()
        if mask is None:
            return stop_ids[0] if is_tired else drawing.randrange(300)
        if is_tired:
            for wanted in (stop_ids, *self._closing):
                if found := [token_id for token_id in wanted if mask[token_id]]:
                    return found[0]
        allowed: list[int] = mask.nonzero()[0].tolist()
        return drawing.choice(allowed)

    def _ids_of(self, text: str) -> list[int]:
        return self.tokenize(text)[-1:]
