"""Properties of the shares of sources in a mixture, of held-out names and of the comparison of requests."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.support.merge_folder import row
from train.merging.candidates import is_held_out_name
from train.merging.overlap import Overlap, words
from train.merging.sampling import allocate

weights = st.lists(st.integers(1, 1000), min_size=1, max_size=8)


@given(weights=weights, data=st.data())
def test_shares_add_up_and_no_part_gives_more_rows_than_it_has(weights: list[int], data: st.DataObject) -> None:
    available = data.draw(st.lists(st.integers(0, 500), min_size=len(weights), max_size=len(weights)))
    total = data.draw(st.integers(0, 5000))
    counts = allocate([float(weight) for weight in weights], available, total)
    assert sum(counts) == min(total, sum(available))
    assert all(0 <= count <= there for count, there in zip(counts, available, strict=True))


@given(weights=weights, total=st.integers(0, 1000))
def test_shares_follow_the_weights_where_there_is_enough(weights: list[int], total: int) -> None:
    counts = allocate([float(weight) for weight in weights], [total] * len(weights), total)
    assert all(abs(n - total * weight / sum(weights)) < 1 for n, weight in zip(counts, weights, strict=True))


def test_a_twentieth_of_the_names_is_held_out() -> None:
    drawn = sum(is_held_out_name(f"function{n}", 0.05) for n in range(20_000))
    assert 900 < drawn < 1100


@given(st.lists(st.sampled_from(["red", "green", "blue", "one", "two", "three"]), min_size=4, max_size=9), st.data())
def test_a_long_request_is_found_within_any_other(request_words: list[str], data: st.DataObject) -> None:
    def frame() -> list[str]:
        return data.draw(st.lists(st.sampled_from(["red", "green", "blue", "four"]), max_size=6))

    whole = [*frame(), *request_words, *frame()]
    text = "".join(word.upper() + data.draw(st.sampled_from((" ", ", ", "! ", "\n"))) for word in whole)
    overlap = Overlap()
    overlap.add([" ".join(request_words)])
    assert overlap.holds(row(text))
    assert not overlap.holds(row("yellow " + " purple ".join(request_words)))


def test_words_are_compared_without_case_and_punctuation() -> None:
    assert words("Ｈow’s  THE “weather”?") == ("how", "s", "the", "weather")
