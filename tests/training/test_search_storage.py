"""The file of a search: one search at a time, and what is no storage is told."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from jobcast_training.search_ground import Settings
from jobcast_training.search_space import Space
from jobcast_training.search_study import opened
from jobcast_training.searching.study import StorageError, storage_file

SETTINGS = Settings(trials=3, objective="pinball", folds=2)


def test_one_search_works_on_a_file_at_a_time(tmp_path: Path) -> None:
    file, space = tmp_path / "search.db", Space.around(None)
    with (
        opened(file, "made-up", {"folds": 2}, space, SETTINGS),
        pytest.raises(StorageError, match="another search works on it"),
        opened(file, "made-up", {"folds": 2}, space, SETTINGS),
    ):
        pass


def test_a_file_that_is_no_storage_is_named(tmp_path: Path) -> None:
    file = tmp_path / "search.db"
    file.write_text("no database at all, and long enough to be seen as such " * 40)
    with (
        pytest.raises(StorageError, match=r"search\.db: cannot be read or written: file is not a database$"),
        opened(file, "made-up", {"folds": 2}, Space.around(None), SETTINGS),
    ):
        pass


def test_a_lock_that_cannot_be_made_is_told_with_the_storage(tmp_path: Path) -> None:
    (tmp_path / "search.db.lock").mkdir()
    with (
        pytest.raises(StorageError, match=r"search\.db: cannot be read or written: Is a directory"),
        opened(tmp_path / "search.db", "made-up", {"folds": 2}, Space.around(None), SETTINGS),
    ):
        pass


def test_a_database_of_something_else_is_no_storage(tmp_path: Path) -> None:
    storage = tmp_path / "search.db"
    with closing(sqlite3.connect(storage)) as connection:
        connection.execute("CREATE TABLE studies (a INTEGER)")
    wrong = rf"search storage {storage}: cannot be read or written: table studies has no column"
    with pytest.raises(StorageError, match=wrong), opened(storage, "x", {"folds": 3}, Space.around(None), SETTINGS):
        pass


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be a file or sqlite:///FILE, got ''"),
        ("sqlite:///", "must be a file or sqlite:///FILE, got 'sqlite:///'"),
        ("{folder}", "must be a file or sqlite:///FILE, got a folder: '{folder}'"),
        ("{folder}/none/search.db", "there is no folder '{folder}/none'; make it first"),
        ("mysql://host/base", "must be a file or sqlite:///FILE, got 'mysql://host/base'"),
    ],
)
def test_what_names_no_file_is_told_before_anything_is_read(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(StorageError) as caught:
        storage_file(text.format(folder=tmp_path))
    assert message.format(folder=tmp_path) in str(caught.value)
