"""A damaged file of an index is known by its checksum and the index built anew; a damaged store is said to be so."""

import json
import logging
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from retriever.dense import DenseIndex
from retriever.errors import StoreCorrupt
from retriever.sparse_files import KINDS
from retriever.store import Store
from tests.retriever.library import TENANT, Library

TEXTS = [f"common alpha {n}\ncommon beta {n}\ncommon gamma {n}" for n in range(9)]  # tantivy merges eight
EXPECTED = sorted(line for text in TEXTS[1:] for line in text.splitlines())
CHECKSUMMED = [*(f"1/sparse/*.{kind}" for kind in (*KINDS, "del")), "1/sparse/applied.json"]
CHECKSUMMED += ["1/dense-*/*.block", "1/dense-*/manifest.json"]
# Where a flipped bit may also be without meaning: a space, the name of a file that is only ever deleted.
UNDERSTOOD = ["1/sparse/meta.json", "1/sparse/.managed.json", "current", "../instance"]
SEAL = 4


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A library with several segments and sealed files, some passages deleted."""
    folder = tmp_path_factory.mktemp("sound")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(DenseIndex.__init__.__kwdefaults__, "seal", SEAL)
        library = Library(folder)
        first, *_ = [library.add(text) for text in TEXTS]
        library.close()  # a merge that is still under way would take in the deletion, and leave no file of it
        library = Library(folder)
        library.store.delete_document(TENANT, first)
        library.indexes.refresh(TENANT, "default")
        library.close()
        yield folder


def opened(folder: Path) -> tuple[list[str], list[str], int]:
    """What the two sides find of everything, and how many passages the sparse one has."""
    library = Library(folder)
    library.indexes.catch_up()
    both = (sorted(library.found("common", mode=mode, k=100)) for mode in ("sparse", "dense"))
    found = (*both, library.indexes.of(TENANT, "default")[0].passages)
    library.close()
    return found


def target(folder: Path, pattern: str) -> Path:
    """The file of the only collection's indexes that the pattern names."""
    [collection] = [path for path in (folder / "indexes").iterdir() if path.is_dir()]
    return collection / pattern if pattern.startswith("..") else sorted(collection.glob(pattern))[-1]


def damaged(sound: Path, folder: Path, pattern: str, damage: Callable[[bytes], bytes]) -> None:
    shutil.copytree(sound, folder)
    file = target(folder, pattern)
    file.write_bytes(damage(file.read_bytes()))


def covered(data: bytes) -> int:
    """How much of a file its checksum is of: all of it, but for tantivy's footer that says which tantivy wrote it."""
    footer = 8 + int.from_bytes(data[-8:-4], "little")
    return len(data) - footer if data[-4:] == (1337).to_bytes(4, "little") else len(data)


def flipped(data: bytes, place: int, bit: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]


def test_a_sound_library_has_a_file_of_every_kind_and_opens_without_a_word(
    sound: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    damaged(sound, tmp_path / "copy", "1/sparse/meta.json", lambda data: data)
    for pattern in (*CHECKSUMMED, *UNDERSTOOD):
        damaged(sound, tmp_path / pattern.replace("/", "-"), pattern, lambda data: data)
    with caplog.at_level(logging.WARNING):
        assert opened(tmp_path / "copy") == (EXPECTED, EXPECTED, len(EXPECTED))
    assert caplog.text == ""


@pytest.mark.parametrize("pattern", CHECKSUMMED)
def test_a_flipped_bit_or_a_cut_in_a_checksummed_file_is_seen_and_the_index_built_anew(
    sound: Path, tmp_path: Path, pattern: str, caplog: pytest.LogCaptureFixture
) -> None:
    chance = random.Random(pattern)
    damages: list[Callable[[bytes], bytes]] = [
        lambda data: flipped(data, 0, 0),
        lambda data: flipped(data, len(data) - 1, 7),
        *(lambda data: flipped(data, chance.randrange(covered(data)), chance.randrange(8)) for _ in range(4)),
        lambda data: data[:-1],
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: data[:-4] + b"\xff" * 4,
    ]
    for number, damage in enumerate(damages):
        caplog.clear()
        damaged(sound, tmp_path / str(number), pattern, damage)
        with caplog.at_level(logging.WARNING):
            assert opened(tmp_path / str(number)) == (EXPECTED, EXPECTED, len(EXPECTED)), number
        assert "building it anew from the store" in caplog.text, number


@pytest.mark.parametrize("pattern", UNDERSTOOD)
def test_a_flipped_bit_elsewhere_is_seen_or_changes_nothing(sound: Path, tmp_path: Path, pattern: str) -> None:
    chance = random.Random(pattern)
    size = len(target(sound, pattern).read_bytes())
    places = range(size) if size < 20 else sorted(chance.sample(range(size), 24))
    for place in places:
        damaged(sound, tmp_path / str(place), pattern, lambda data, at=place: flipped(data, at, chance.randrange(8)))
        assert opened(tmp_path / str(place)) == (EXPECTED, EXPECTED, len(EXPECTED)), place
    for left in {0, 1, size // 2, size - 1} - {size}:
        damaged(sound, tmp_path / f"cut-{left}", pattern, lambda data, end=left: data[:end])
        assert opened(tmp_path / f"cut-{left}") == (EXPECTED, EXPECTED, len(EXPECTED)), left


@pytest.mark.parametrize(
    ("field", "value"), [("max_doc", 2), ("max_doc", 200), ("num_deleted_docs", 1), ("opstamp", 1)]
)
def test_a_number_of_the_meta_file_that_its_segments_contradict_is_seen(
    sound: Path, tmp_path: Path, field: str, value: int, caplog: pytest.LogCaptureFixture
) -> None:
    def change(data: bytes) -> bytes:
        meta = json.loads(data)
        segment = next(each for each in meta["segments"] if each["deletes"] is not None)
        {"max_doc": segment, "num_deleted_docs": segment["deletes"], "opstamp": meta}[field][field] = value
        return json.dumps(meta).encode()

    damaged(sound, tmp_path / "copy", "1/sparse/meta.json", change)
    with caplog.at_level(logging.WARNING):
        assert opened(tmp_path / "copy") == (EXPECTED, EXPECTED, len(EXPECTED))
    assert "says otherwise than the files of segment" in caplog.text


@pytest.mark.parametrize("pattern", ["1/sparse/meta.json", *CHECKSUMMED])
def test_a_lost_file_is_made_up_for_from_the_store(sound: Path, tmp_path: Path, pattern: str) -> None:
    shutil.copytree(sound, tmp_path / "copy")
    target(tmp_path / "copy", pattern).unlink()
    assert opened(tmp_path / "copy") == (EXPECTED, EXPECTED, len(EXPECTED))


@pytest.mark.parametrize("place", [0, 18, 100, 4096, -4096])
def test_a_damaged_store_is_said_to_be_so_in_one_line(sound: Path, tmp_path: Path, place: int) -> None:
    path = tmp_path / "store.db"
    shutil.copy(sound / "store.db", path)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.close()
    data = bytearray(path.read_bytes())
    data[place % len(data) : place % len(data) + 64] = b"\xa5" * 64
    path.write_bytes(data)
    with pytest.raises(StoreCorrupt) as told:
        Store(f"sqlite:///{path}").check()
    assert str(told.value).startswith("the store is damaged (")
    assert str(told.value).endswith("): stop the service, and put a backup in its place with 'lectern restore'")
    assert "\n" not in str(told.value)
