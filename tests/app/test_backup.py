"""A backup is the store as of one moment, shows that it is whole, and comes back as it was."""

import sqlite3
import stat
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app import cli
from app.settings import Settings
from app.wiring import Lectern, build
from retriever.errors import BackupBroken, Conflict, StorageFull, StoreCorrupt, StoreNewer, StoreUnavailable
from retriever.store import backup as module
from retriever.store import schema
from retriever.store.backup import back_up, restore, verify
from tests.fakes import HashingEncoder, OverlapReader, ParserHere
from tests.retriever.library import TENANT, Library

TEXTS = [f"alpha beta {n}\ngamma delta {n}" for n in range(3)]


@pytest.fixture
def saved(tmp_path: Path) -> Iterator[tuple[Library, Path]]:
    """A library in use, with an asset and a deleted document, and a backup of it."""
    (tmp_path / "one").mkdir()
    library = Library(tmp_path / "one")
    for text in TEXTS:
        library.add(text)
    library.store.put_asset(TENANT, "default", "adapter", b"weights")
    library.store.delete_document(TENANT, library.add("purged secret"))
    back_up(tmp_path / "one" / "store.db", tmp_path / "backup", made_by="test")
    yield library, tmp_path / "backup"
    library.close()


def back(backup: Path, folder: Path, **options: bool) -> Library:
    """A library of what was restored."""
    restore(backup, folder / "store.db", **{"replace": False, **options})
    return Library(folder)


def texts(library: Library) -> list[str]:
    documents, _ = library.store.documents(TENANT, limit=100)
    return [library.store.text(TENANT, each.id)[0] for each in documents]


def test_what_comes_back_is_all_that_there_was_and_is_found(saved: tuple[Library, Path], tmp_path: Path) -> None:
    _, backup = saved
    manifest = verify(backup)
    assert (manifest.schema, manifest.made_by) == (schema.SCHEMA_VERSION, "test")
    assert (manifest.rows["documents"], manifest.rows["passages"], manifest.rows["assets"]) == (3, 6, 1)
    library = back(backup, tmp_path / "two")
    assert texts(library) == TEXTS
    for mode in ("sparse", "dense"):
        assert len(library.found("gamma", mode=mode, k=6)) == (3 if mode == "sparse" else 6)
    assert library.store.asset(TENANT, "default", "adapter") == b"weights"
    assert library.store.instance == manifest.instance
    library.close()
    assert b"purged secret" not in backup.read_bytes()  # not even in pages that are free
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup", "one", "two"]


def test_a_passage_number_is_not_given_again_after_a_restore(saved: tuple[Library, Path], tmp_path: Path) -> None:
    library, backup = saved
    last = max(key for key, _ in _keys(library))
    again = back(backup, tmp_path / "two")
    again.add("one more")
    assert max(key for key, _ in _keys(again)) > last
    again.close()


def _keys(library: Library) -> list[tuple[int, str]]:
    with library.store._db.read() as connection:
        return list(connection.exec_driver_sql("SELECT key, text FROM passages"))  # type: ignore[arg-type]


def test_a_backup_of_a_store_that_is_written_to_is_one_moment_of_it(tmp_path: Path) -> None:
    library = Library(tmp_path)
    document = library.add("version 0\nof the text")
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            library.send(f"version {number}\nof the text", document_id=document)
            library.work()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(5):
            back_up(tmp_path / "store.db", tmp_path / f"backup-{number}", made_by="test")
    finally:
        stop.set()
        writer.join()
    library.close()
    for number in range(5):
        again = back(tmp_path / f"backup-{number}", tmp_path / f"two-{number}")
        [text] = texts(again)
        assert again.found("version", mode="sparse") == [text.splitlines()[0]]
        assert again.store.document(TENANT, document).passages == len(_visible(again, document)) == 2
        again.store.check()
        again.close()


def _visible(library: Library, document: str) -> list[object]:
    return list(library.store.visible_passages(TENANT, [document], encoder=library.encoder.version))


def test_a_flipped_bit_or_a_cut_anywhere_is_seen_or_changes_nothing(
    saved: tuple[Library, Path], tmp_path: Path
) -> None:
    _, backup = saved
    whole = backup.read_bytes()
    store = zipfile.ZipFile(backup).read("store.sqlite3")
    refused = 0
    places = [0, 5, 30, 100, len(store) // 2, len(store), len(whole) - 30, len(whole) - 1]
    places += range(len(whole) - 400, len(whole), 37)
    for place in places:
        backup.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        folder = tmp_path / f"flip-{place}"
        try:
            restore(backup, folder / "store.db", replace=False)
        except (BackupBroken, StoreNewer):
            refused += 1
            assert not (folder / "store.db").exists()
        else:
            assert (folder / "store.db").read_bytes() == store
    assert refused > len(places) / 2
    for size in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        backup.write_bytes(whole[:size])
        with pytest.raises(BackupBroken):
            verify(backup)


def test_a_folder_that_is_not_empty_is_left_alone_unless_told_and_its_store_is_kept(
    saved: tuple[Library, Path], tmp_path: Path
) -> None:
    library, backup = saved
    library.add("written after the backup")
    folder = tmp_path / "one"
    with pytest.raises(Conflict, match="is not empty"):
        restore(backup, folder / "store.db", replace=False)
    assert len(texts(library)) == 4
    library.close()
    again = back(backup, folder, replace=True)
    assert texts(again) == TEXTS
    assert again.found("written", mode="sparse") == []
    assert again.found("gamma 1", mode="sparse")[0] == "gamma delta 1"
    again.close()
    kept = sqlite3.connect(folder / "store.db.before-restore")
    assert kept.execute("SELECT count(*) FROM documents").fetchone() == (4,)
    kept.close()
    (tmp_path / "fresh").mkdir()
    (tmp_path / "fresh" / "README.md").write_text("as in index_data")
    back(backup, tmp_path / "fresh").close()


def test_a_damaged_store_can_be_replaced_and_is_kept(saved: tuple[Library, Path], tmp_path: Path) -> None:
    library, backup = saved
    library.close()
    store = tmp_path / "one" / "store.db"
    store.write_bytes(b"\xa5" * 8192)
    with pytest.raises(StoreCorrupt):
        back_up(store, tmp_path / "other", made_by="test")
    again = back(backup, tmp_path / "one", replace=True)
    assert texts(again) == TEXTS
    again.close()
    assert (tmp_path / "one" / "store.db.before-restore").read_bytes() == b"\xa5" * 8192


def test_a_backup_of_a_newer_lectern_is_refused(
    saved: tuple[Library, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "SCHEMA_VERSION", schema.SCHEMA_VERSION - 1)
    with pytest.raises(StoreNewer, match="upgrade it"):
        restore(saved[1], tmp_path / "two" / "store.db", replace=False)


@pytest.mark.parametrize("broken", ["copy_database", "_pack"])
def test_a_full_disk_leaves_the_backup_that_was_there_and_no_draft(
    saved: tuple[Library, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    _, backup = saved
    before = backup.read_bytes()

    def full(*arguments: Path) -> None:
        (arguments[-1] if isinstance(arguments[-1], Path) else arguments[1]).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, broken, full)
    with pytest.raises(StorageFull):
        back_up(tmp_path / "one" / "store.db", backup, made_by="test")
    assert backup.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup", "one"]


def test_nothing_that_is_not_a_backup_is_written_over(saved: tuple[Library, Path], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(Conflict, match="is no backup"):
        back_up(tmp_path / "one" / "store.db", tmp_path / "notes.txt", made_by="test")
    with pytest.raises(StoreUnavailable, match="there is no store"):
        back_up(tmp_path / "nowhere.db", tmp_path / "new", made_by="test")
    assert not (tmp_path / "nowhere.db").exists()


def made(settings: Settings) -> Lectern:
    return build(settings, encoder=HashingEncoder(), reader=OverlapReader(), parsers=ParserHere())


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = cli.main(list(arguments), make=made)
    told = capsys.readouterr()
    return code, told.out, told.err


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    return lambda *arguments: run(capsys, *map(str, arguments))


def test_the_commands_back_up_a_running_lectern_and_restore_it_and_say_so_in_a_line(
    tmp_path: Path, command: Callable[..., tuple[int, str, str]]
) -> None:
    (tmp_path / "harbour.md").write_text("# Harbour\n\nThe lighthouse was built in 1871.")
    one, two, file = tmp_path / "one", tmp_path / "two", tmp_path / "backup"
    assert command("ingest", tmp_path / "harbour.md", "--data", one)[0] == 0
    running = made(Settings(data_dir=one))
    code, out, _ = command("backup", file, "--data", one)
    assert code == 0
    assert out.startswith(f"'{file}': 1 documents, 1 passages, ")
    assert command("restore", file, "--check")[1].startswith(f"'{file}' is whole: 1 documents")
    code, _, err = command("restore", file, "--data", one, "--replace")
    assert (code, "another Lectern uses" in err) == (2, True)
    running.close()
    assert command("restore", file, "--data", two)[0] == 0
    code, out, _ = command("search", "lighthouse", "--data", two)
    assert code == 0
    assert "1871" in out
    code, _, err = command("restore", file, "--data", two)
    assert (code, err) == (2, f"lectern: '{two}' is not empty: name another folder, or say --replace\n")
    (two / "inner").mkdir()
    for inside in (two / "backup", two / "inner" / "backup", one / ".." / "two" / "backup"):
        code, _, err = command("backup", inside, "--data", two)
        assert (code, "is in the data directory" in err) == (2, True)
    code, _, err = command("backup", tmp_path / "nowhere" / "backup", "--data", two)
    assert (code, err) == (2, f"lectern: there is no folder '{tmp_path / 'nowhere'}'\n")
    file.write_bytes(file.read_bytes()[:-100])
    code, _, err = command("restore", file, "--check")
    assert (code, err.count("\n"), "is not a whole backup" in err) == (2, 1, True)


def test_a_damaged_store_is_told_in_one_line_by_every_command(
    tmp_path: Path, command: Callable[..., tuple[int, str, str]]
) -> None:
    (tmp_path / "harbour.md").write_text("The lighthouse was built in 1871.")
    assert command("ingest", tmp_path / "harbour.md", "--data", tmp_path / "data")[0] == 0
    (tmp_path / "data" / "lectern.sqlite3").write_bytes(b"\xa5" * 8192)
    for arguments in (["reindex"], ["search", "lighthouse"], ["serve", "--port", "0"], ["backup", tmp_path / "b"]):
        code, _, err = command(*arguments, "--data", tmp_path / "data")
        line = err.splitlines()[-1]
        assert code == 2, arguments
        assert line.startswith("lectern: the store is damaged (SQLITE_NOTADB): stop the service, and put a backup")
        assert "Traceback" not in err
