"""Make a small random checkpoint for each prompt format, with the control tokens of real checkpoints.

The ids of control tokens are moved to 1000 and after, so that the vocabularies are small. The vocabularies have one
token per byte or character; the other ids have words without merges, which no text becomes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import sentencepiece
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tests.support.tiny_llama import trained_sentencepiece

_LLAMA3 = {
    "<|begin_of_text|>": 128000,
    "<|end_of_text|>": 128001,
    "<|start_header_id|>": 128006,
    "<|end_header_id|>": 128007,
    "<|eot_id|>": 128009,
    "<|reserved_special_token_249|>": 128254,
}
_LLAMA31 = {**_LLAMA3, "<|eom_id|>": 128008, "<|python_tag|>": 128010}
_HERMES = {**_LLAMA3, "<|im_end|>": 128003, "<|im_start|>": 128002}
_CHATML = {"<|endoftext|>": 151643, "<|im_start|>": 151644, "<|im_end|>": 151645}
_QWEN25 = {**_CHATML, "<tool_call>": 151657, "</tool_call>": 151658}
_QWEN3 = {
    **_QWEN25,
    "<tool_response>": 151665,
    "</tool_response>": 151666,
    "<think>": 151667,
    "</think>": 151668,
}
_HARMONY = {
    "<|startoftext|>": 199998,
    "<|endoftext|>": 199999,
    "<|return|>": 200002,
    "<|constrain|>": 200003,
    "<|channel|>": 200005,
    "<|start|>": 200006,
    "<|end|>": 200007,
    "<|message|>": 200008,
    "<|call|>": 200012,
}
_DEEPSEEK = {
    "<｜begin▁of▁sentence｜>": 0,
    "<｜end▁of▁sentence｜>": 1,
    "<think>": 128798,
    "</think>": 128799,
    "<｜User｜>": 128803,
    "<｜Assistant｜>": 128804,
    "<｜tool▁calls▁begin｜>": 128806,
    "<｜tool▁calls▁end｜>": 128807,
    "<｜tool▁call▁begin｜>": 128808,
    "<｜tool▁call▁end｜>": 128809,
    "<｜tool▁outputs▁begin｜>": 128810,
    "<｜tool▁outputs▁end｜>": 128811,
    "<｜tool▁output▁begin｜>": 128812,
    "<｜tool▁output▁end｜>": 128813,
    "<｜tool▁sep｜>": 128814,
}
_R1_LLAMA = {
    "<｜begin▁of▁sentence｜>": 128000,
    "<｜end▁of▁sentence｜>": 128001,
    "<|start_header_id|>": 128006,
    "<|end_header_id|>": 128007,
    "<|eom_id|>": 128008,
    "<|eot_id|>": 128009,
    "<|python_tag|>": 128010,
    "<｜User｜>": 128011,
    "<｜Assistant｜>": 128012,
    "<think>": 128013,
    "</think>": 128014,
}
_R1_QWEN = {
    "<｜end▁of▁sentence｜>": 151643,
    "<｜User｜>": 151644,
    "<｜Assistant｜>": 151645,
    "<｜begin▁of▁sentence｜>": 151646,
    "<think>": 151648,
    "</think>": 151649,
    "<tool_call>": 151657,
    "</tool_call>": 151658,
}
_TEKKEN = {
    text: number
    for number, text in enumerate(
        [
            "<unk>",
            "<s>",
            "</s>",
            "[INST]",
            "[/INST]",
            "[AVAILABLE_TOOLS]",
            "[/AVAILABLE_TOOLS]",
            "[TOOL_RESULTS]",
            "[/TOOL_RESULTS]",
            "[TOOL_CALLS]",
            "[IMG]",
            "<pad>",
            "[IMG_BREAK]",
            "[IMG_END]",
            "[PREFIX]",
            "[MIDDLE]",
            "[SUFFIX]",
        ]
    )
}
_TEKKEN_V7 = {**_TEKKEN, "[SYSTEM_PROMPT]": 17, "[/SYSTEM_PROMPT]": 18, "[TOOL_CONTENT]": 19}
_TEKKEN_V11 = {**_TEKKEN_V7, "[ARGS]": 32, "[CALL_ID]": 33}
_TEKKEN_V13 = {**_TEKKEN_V11, "[THINK]": 34, "[/THINK]": 35}
_MISTRAL_V3 = [
    "[INST]",
    "[/INST]",
    "[TOOL_CALLS]",
    "[AVAILABLE_TOOLS]",
    "[/AVAILABLE_TOOLS]",
    "[TOOL_RESULTS]",
    "[/TOOL_RESULTS]",
]
_V1 = (
    *("<|START_OF_FUNCTION_CALL|>", "<|END_OF_SYSTEM|>", "<|END_OF_USER|>", "<|END_OF_ASSISTANT|>"),
    *("<|END_OF_FUNCTION_RESULT|>", "<|END_OF_FUNCTION_CALL|>"),
)
_V2 = ("<|from|>", "<|recipient|>", "<|content|>", "<|stop|>")
_ORDINARY = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<think>", "</think>")


_WORD = re.compile(r"[Ġ▁]w\d+")


@dataclass(frozen=True)
class Family:
    """The tokenizer of a family of checkpoints.

    kind:    "bytes" is byte-level BPE; "llama2" is SentencePiece, whose `added` tokens follow the vocabulary and whose
             `symbols` follow the first three; "gemma" is SentencePiece that adds no space.
    control: the control tokens of a byte-level vocabulary or of Gemma's, with their ids.
    """

    kind: str
    control: Mapping[str, int] = field(default_factory=dict)
    bos: str = ""
    eos: str = "</s>"
    added: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()


def _together(control: Mapping[str, int]) -> dict[str, int]:
    """Move the ids above the first thousand next to it, in the same order and with the same distances."""
    moved = min((number for number in control.values() if number > 1000), default=1000) - 1000
    return {text: number - moved if number > 1000 else number for text, number in control.items()}


_LLAMA31_FAMILY = Family("bytes", _together(_LLAMA31), "<|begin_of_text|>", "<|eot_id|>")
_LLAMA3_FAMILY = Family("bytes", _together(_LLAMA3), "<|begin_of_text|>", "<|eot_id|>")
_QWEN25_FAMILY = Family("bytes", _together(_QWEN25), eos="<|im_end|>")
_QWEN3_FAMILY = Family("bytes", _together(_QWEN3), eos="<|im_end|>")
_GEMMA = {"<pad>": 0, "<eos>": 1, "<bos>": 2, "<unk>": 3, "<start_of_turn>": 105, "<end_of_turn>": 106}

FAMILIES = {
    "functionary_cogito": _QWEN25_FAMILY,
    "functionary_gemma3": Family("gemma", _GEMMA, "<bos>", "<eos>"),
    "functionary_qwen25": _QWEN25_FAMILY,
    "functionary_r1": Family("bytes", _together(_DEEPSEEK), "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"),
    "functionary_r1_llama": Family("bytes", _together(_R1_LLAMA), "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"),
    "functionary_r1_qwen": Family("bytes", _together(_R1_QWEN), "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"),
    "functionary_v1": Family("llama2", added=_V1),
    "functionary_v1_plain": Family("llama2"),
    "functionary_v2": Family("llama2", added=_V2),
    "functionary_v2_llama3": _LLAMA3_FAMILY,
    "functionary_v3": _LLAMA3_FAMILY,
    "functionary_v3_chatml": Family("bytes", _together(_CHATML), eos="<|im_end|>"),
    "functionary_v3_llama31": _LLAMA31_FAMILY,
    "functionary_v3_llava": _LLAMA3_FAMILY,
    "functionary_v4r": _LLAMA31_FAMILY,
    "gpt_oss": Family("bytes", _together(_HARMONY), "<|startoftext|>", "<|return|>"),
    "hermes": Family("bytes", _together(_HERMES), "<|begin_of_text|>", "<|im_end|>"),
    "llama31": _LLAMA31_FAMILY,
    "mistral": Family("llama2", symbols=tuple(_MISTRAL_V3)),
    "mistral_nemo": Family("bytes", _TEKKEN, "<s>"),
    "mistral_v7": Family("bytes", _TEKKEN_V7, "<s>"),
    "mistral_v11": Family("bytes", _TEKKEN_V11, "<s>"),
    "mistral_v13": Family("bytes", _TEKKEN_V13, "<s>"),
    "qwen25": _QWEN25_FAMILY,
    "qwen3": _QWEN3_FAMILY,
    "qwen3_thinking": _QWEN3_FAMILY,
    "qwen35": _QWEN3_FAMILY,
}


def make_family_model(folder: Path, family: Family, *, max_context: int = 4096) -> Path:
    """Make the checkpoint: one layer of width 16, and the tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    if family.kind == "llama2":
        ids = _write_sentencepiece(folder, family)
    else:
        backend = _byte_level(family.control) if family.kind == "bytes" else _gemma(family.control)
        ids = [number for token, number in backend.get_vocab().items() if not _WORD.fullmatch(token)]
        names = {"eos_token": family.eos, **({"bos_token": family.bos} if family.bos else {})}
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, **names)  # type: ignore[no-untyped-call]
        tokenizer.save_pretrained(folder)
    _write_model(folder, ids, max_context)
    return folder


def _byte_level(control: Mapping[str, int]) -> Tokenizer:
    taken = set(control.values())
    free = (number for number in range(1_000_000) if number not in taken)
    vocab = {char: next(free) for char in sorted(pre_tokenizers.ByteLevel.alphabet())}
    used = {*taken, *vocab.values()}
    words = {f"Ġw{number}": number for number in range(max(taken)) if number not in used}
    backend = Tokenizer(models.BPE(vocab={**vocab, **words, **control}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    return _with_control(backend, control)


def _gemma(control: Mapping[str, int]) -> Tokenizer:
    tokens = [*(f"<0x{byte:02X}>" for byte in range(256)), "▁", *map(chr, range(0x21, 0x7F)), "\n"]
    vocab = {token: 217 + number for number, token in enumerate(tokens)}
    vocab |= {f"▁w{number}": number for number in range(217) if number not in control.values()}
    backend = Tokenizer(models.BPE(vocab={**vocab, **control}, merges=[], unk_token="<unk>", byte_fallback=True))
    backend.normalizer = normalizers.Replace(" ", "▁")
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return _with_control(backend, control)


def _with_control(backend: Tokenizer, control: Mapping[str, int]) -> Tokenizer:
    """Add the control tokens. As in Qwen's checkpoints, those of calls and reasoning are not `special`."""
    backend.add_tokens([AddedToken(text, special=text not in _ORDINARY, normalized=False) for text in control])
    return backend


def _write_sentencepiece(folder: Path, family: Family) -> list[int]:
    sentences = ["the user asks for the weather in lyon", *map(chr, range(0x21, 0x7F))] * 40
    symbols = list(family.symbols)
    model = trained_sentencepiece(sentences, vocab_size=400, hard_vocab_limit=False, control_symbols=symbols)
    (folder / "tokenizer.model").write_bytes(model)
    size = sentencepiece.SentencePieceProcessor(model_proto=model).vocab_size()
    placed = {**dict(enumerate(("<unk>", "<s>", "</s>", *family.symbols))), **dict(enumerate(family.added, size))}
    config = {
        "tokenizer_class": "LlamaTokenizer",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "add_bos_token": True,
        "legacy": True,
        "added_tokens_decoder": {
            str(number): {"content": text, "special": True, "normalized": False, "lstrip": False, "rstrip": False}
            for number, text in placed.items()
        },
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return list(range(size + len(family.added)))


def _write_model(folder: Path, ids: list[int], max_context: int) -> None:
    """Write random weights whose logits differ much, and are 0 for the words."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=max(ids) + 17,  # more than the tokenizer has, as in many real checkpoints
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=max_context,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        torch.nn.init.normal_(model.model.embed_tokens.weight)
        model.lm_head.weight.zero_()
        model.lm_head.weight[ids] = torch.randn(len(ids), config.hidden_size) * 1.5
    model.save_pretrained(folder)
