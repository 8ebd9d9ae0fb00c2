import random
import time

import pytest

from retriever.alignment import Alignment, align

WORDS = [f"word{n}" for n in range(400)]


def sentences(dice: random.Random, count: int) -> list[str]:
    return [" ".join(dice.choice(WORDS) for _ in range(dice.randint(3, 12))) + ". " for _ in range(count)]


def edited(dice: random.Random, parts: list[str], edits: int) -> list[str]:
    changed = list(parts)
    for _ in range(edits):
        place, what = dice.randrange(len(changed)), dice.random()
        if what < 0.4:
            del changed[place]
        elif what < 0.7:
            changed.insert(place, sentences(dice, 1)[0])
        else:
            changed[place] = changed[place].replace("word", "name", 1)
    return changed


def assert_sound(old: str, new: str) -> int:
    """Blocks are equal, in order in both and apart; returns how much is kept."""
    old_end = new_end = kept = 0
    for block in align(old, new):
        assert old[block.old_start :][: block.length] == new[block.new_start :][: block.length]
        assert block.old_start >= old_end
        assert block.new_start >= new_end
        assert block.length > 0
        old_end, new_end = block.old_start + block.length, block.new_start + block.length
        kept += block.length
    return kept


@pytest.mark.parametrize("seed", range(12))
def test_what_two_texts_share_is_found_in_order(seed: int) -> None:
    dice = random.Random(seed)
    parts = sentences(dice, 200)
    changed = edited(dice, parts, 30)
    assert assert_sound("".join(parts), "".join(changed)) > 0.8 * len("".join(parts))


@pytest.mark.parametrize(
    ("old", "new"),
    [("", ""), ("", "a"), ("a", ""), ("a", "b"), (" ", "  "), ("a b a b a b", "b a b a"), ("泵很好。", "泵不好。")],
)
def test_short_and_empty_texts_are_aligned(old: str, new: str) -> None:
    assert_sound(old, new)
    assert assert_sound(old, old) == len(old)


def place_of(old: str, new: str, wanted: str, *, which: int = 0) -> int | None:
    start = -1
    for _ in range(which + 1):
        start = old.index(wanted, start + 1)
    return Alignment(old, new).place(start, start + len(wanted))


def test_of_several_equal_strings_the_right_one_is_found() -> None:
    old = "Red costs 5 euros. Green costs 5 euros. Blue costs 5 euros."
    new = "New: all prices. Red costs 5 euros. Blue costs 5 euros. Green is sold out."
    assert place_of(old, new, "5 euros", which=0) == new.index("5 euros")
    assert place_of(old, new, "5 euros", which=1) is None
    assert place_of(old, new, "5 euros", which=2) == new.rindex("5 euros")


def test_in_rows_of_one_length_a_deleted_row_is_gone_though_its_place_holds_the_same_words() -> None:
    rows = [f"Item {chr(65 + n)} costs 5 euros\n" for n in range(20)]
    old, new = "".join(rows), "".join(rows[:6] + rows[7:])
    assert new[old.index("5 euros", len(rows[0]) * 6) :].startswith("5 euros")
    assert place_of(old, new, "5 euros", which=6) is None
    assert place_of(old, new, "5 euros", which=7) == old.index("5 euros") + len(rows[0]) * 6


def test_a_paragraph_that_was_moved_takes_its_words_along() -> None:
    dice = random.Random(5)
    parts = sentences(dice, 60)
    parts[10] = "The filter costs 12 euros in May. "
    parts[40] = "The pump costs 12 euros in June. "
    moved = [*parts[:10], *parts[11:55], parts[10], *parts[55:]]
    old, new = "".join(parts), "".join(moved)
    assert place_of(old, new, "12 euros", which=0) == new.index("12 euros in May")
    assert place_of(old, new, "12 euros", which=1) == new.index("12 euros in June")


def test_a_range_whose_inside_changed_is_gone() -> None:
    old = "It was a long day. The fee is 18 euros a night. The end."
    assert place_of(old, old.replace("18", "19"), "18 euros") is None
    assert place_of(old, old.replace("long", "very long"), "18 euros") == old.index("18 euros") + 5


def test_words_without_spaces_between_them_are_told_apart() -> None:
    old = "红泵很好。蓝泵很好。绿泵很好。"
    new = "红泵很好。绿泵很好。"
    assert place_of(old, new, "很好", which=1) is None
    assert place_of(old, new, "很好", which=2) == new.rindex("很好")


def test_a_range_that_begins_and_ends_inside_of_words_is_found() -> None:
    old = "The harbourmaster is away. " * 3 + "Unforgettable days. " + "The harbourmaster is away. " * 3
    new = "Once more. " + old
    assert place_of(old, new, "forgettab") == new.index("forgettab")
    assert place_of(old, new, "ourmaster is a", which=4) == old.index("Unf") + 11 + 20 + 27 + 8


@pytest.mark.parametrize(
    "new",
    [
        pytest.param(lambda dice, parts: edited(dice, parts, 800), id="800 edits"),
        pytest.param(lambda dice, parts: sentences(dice, len(parts)), id="another text"),
        pytest.param(lambda dice, parts: dice.sample(parts, len(parts)), id="shuffled"),
        pytest.param(lambda dice, parts: ["The sea is. "] * 80_000, id="one sentence again and again"),
    ],
)
def test_a_megabyte_is_aligned_in_seconds(new) -> None:  # type: ignore[no-untyped-def]
    dice = random.Random(1)
    parts = sentences(dice, 17_000)
    old = "".join(parts)
    assert len(old) > 1_000_000 * 0.9
    before = time.process_time()
    assert_sound(old, "".join(new(dice, parts)))
    assert time.process_time() - before < 20  # 1 to 4 s alone; the usual diffs take minutes


def test_a_string_that_stands_everywhere_is_placed_without_weighing_every_place() -> None:
    dice = random.Random(3)
    alignment = Alignment("".join(sentences(dice, 3_000)), "".join(sentences(dice, 3_000)))
    before = time.process_time()
    for start in range(0, 4_000, 100):
        alignment.place(alignment.old.index("w", start), alignment.old.index("w", start) + 1)
    assert time.process_time() - before < 10
