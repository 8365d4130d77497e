"""Only some tokens of a conversation are learned, and packed conversations do not attend to each other."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from core.conversation import ChatRequest, ToolChoice
from inference import Model, chat_prompt
from tests.support.training_rows import LIGHT, TEN, TIMER, WEATHER
from train.learning.bundles import Bundle, bundled, single_bundle
from train.learning.packing import IGNORED, Example, collate, encode, packed


@pytest.fixture(scope="module")
def tiny(chatml_folder: Path) -> nn.Module:
    model: nn.Module = AutoModelForCausalLM.from_pretrained(chatml_folder)
    return model.eval()


def losses(tiny: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """Return the losses of the learned tokens, one sequence of the batch after the other."""
    with torch.inference_mode():
        logits = tiny(**{key: value for key, value in batch.items() if key != "labels"}).logits[:, :-1]
    targets = batch["labels"][:, 1:]
    learned = targets != IGNORED
    return nn.functional.cross_entropy(logits[learned], targets[learned], reduction="none")


def learned_parts(example: Example, model: Model) -> list[str]:
    parts: list[str] = []
    before = False
    for token_id, label in zip(example.ids, example.labels, strict=True):
        if label != IGNORED:
            parts = parts if before else [*parts, ""]
            parts[-1] += model.tokenizer.decode([token_id])
        before = label != IGNORED
    return parts


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000))
def test_packed_losses_equal_those_of_single_conversations(tiny: nn.Module, chatml: Model, seed: int) -> None:
    """Every learned token has the same loss in a bundled, packed and padded batch as in its conversation alone."""
    bundles = list(bundled(TEN, seed=str(seed), max_tokens=300, share=0.7))
    examples = [encode(bundle, chatml.template, chatml.tokenizer, 1024) for bundle in bundles]
    together = list(packed([example for example in examples if example], 1024, num_open=2))
    num_alone = sum(example.num_unshared_tokens for example in examples if example)
    assert sum(example.num_unshared_tokens for example in together) == num_alone
    expected = []
    for bundle in bundles:
        for talk in bundle.conversations:
            example = encode(Bundle(bundle.functions, (talk,)), chatml.template, chatml.tokenizer, 1024)
            assert example is not None
            plain = {key: value for key, value in collate([example]).items() if key in ("input_ids", "labels")}
            expected.append(losses(tiny, plain))
    found = losses(tiny, collate(together))
    assert torch.allclose(found.sort().values, torch.cat(expected).sort().values, atol=2e-4)


def test_what_is_learned_is_what_the_assistant_says(chatml: Model) -> None:
    """The assistant's calls and texts are learned up to and including the stop token.

    Declarations, user messages and results are never learned.
    """
    told = encode(single_bundle(TEN[9]), chatml.template, chatml.tokenizer, 1024)
    asked = encode(single_bundle(TEN[8]), chatml.template, chatml.tokenizer, 1024)
    two = encode(single_bundle(TEN[6]), chatml.template, chatml.tokenizer, 1024)
    assert told and asked and two
    assert learned_parts(told, chatml) == [
        'get_weather\n{"city": "Lima"}<|im_end|>',
        "all\nIt is clear in Lima.<|im_end|>",
    ]
    assert learned_parts(asked, chatml) == ["all\nFor how long?<|im_end|>", 'set_timer\n{"minutes": 7}<|im_end|>']
    assert learned_parts(two, chatml) == ['get_weather\n{"city": "Bonn"}>>>get_weather\n{"city": "Kiel"}<|im_end|>']


@pytest.mark.parametrize("row", TEN, ids=lambda row: row.messages[0].content)
def test_training_and_serving_see_the_same_tokens(chatml: Model, llama: Model, row: object) -> None:
    for model in (chatml, llama):
        for number, message in enumerate(row.messages):  # type: ignore[attr-defined]
            if message.role != "assistant":
                continue
            bundle = Bundle(row.functions, (row.messages[: number + 1],))  # type: ignore[attr-defined]
            example = encode(bundle, model.template, model.tokenizer, 4096)
            assert example is not None
            request = ChatRequest("m", bundle.conversations[0][:-1], bundle.functions, ToolChoice("auto"))
            prompt_ids = chat_prompt(model, request)
            assert example.ids[: len(prompt_ids)] == prompt_ids
            assert example.labels[len(prompt_ids)] != IGNORED


def test_a_bundle_holds_its_functions_once(chatml: Model) -> None:
    bundle = Bundle((WEATHER, TIMER, LIGHT), (TEN[0].messages, TEN[2].messages, TEN[4].messages))
    together = encode(bundle, chatml.template, chatml.tokenizer, 1024)
    separate = [
        encode(Bundle(bundle.functions, (talk,)), chatml.template, chatml.tokenizer, 1024)
        for talk in bundle.conversations
    ]
    assert together is not None
    assert len(together) < 0.5 * sum(len(example) for example in separate if example)
    assert together.num_learned == sum(example.num_learned for example in separate if example)
    assert together.num_unshared_tokens == sum(len(example) for example in separate if example)
    assert together.num_conversations == 3


def test_what_is_too_long_is_left_out_and_the_rest_stays(chatml: Model) -> None:
    long = (TEN[0].messages[0].__class__("user", "x" * 600), *TEN[0].messages[1:])
    bundle = Bundle((WEATHER,), (long, TEN[1].messages))
    example = encode(bundle, chatml.template, chatml.tokenizer, 500)
    single = encode(single_bundle(TEN[1]), chatml.template, chatml.tokenizer, 500)
    assert example is not None and single is not None and example.ids == single.ids
    assert encode(Bundle((WEATHER,), (long,)), chatml.template, chatml.tokenizer, 500) is None


def test_the_first_token_of_a_branch_is_not_learned(llama: Model) -> None:
    """The first token of a branch is not learned, although the plain template learns how a user's turn begins.

    Regression test: the first token of the second branch was learned as if it followed the first branch's answer.
    """
    bundle = Bundle((WEATHER, TIMER), (TEN[0].messages, TEN[2].messages))
    example = encode(bundle, llama.template, llama.tokenizer, 4096)
    assert example is not None and set(example.branches) == {0, 1, 2}
    for branch in (1, 2):
        assert example.labels[example.branches.index(branch)] == IGNORED


@given(lengths=st.lists(st.integers(1, 100), max_size=60), seed=st.integers(0, 99))
def test_packing_keeps_everything(lengths: list[int], seed: int) -> None:
    random = Random(seed)
    ones = [Example([random.randrange(9)] * n, [1] * n, list(range(n)), [0] * n, [0] * n) for n in lengths]
    made = list(packed([Example(*map(list, (e.ids, e.labels, e.positions, e.trees, e.branches))) for e in ones], 100))
    assert sum(map(len, made)) == sum(lengths)
    assert all(len(example) <= 100 for example in made)
    assert (
        sorted(example.trees[-1] + 1 for example in made) and sum(e.trees[-1] + 1 for e in made) == len(ones)
        if ones
        else not made
    )
