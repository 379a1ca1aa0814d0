"""The file of keys and the command that looks after it: no secret in it, nothing lost, what is wrong is told."""

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner
from jobcast_server.counting import PYTHON
from jobcast_server.errors import StartupError
from jobcast_server.security import keys as keyfile
from jobcast_server.security.command import keys as command
from jobcast_server.security.keyring import Keyring
from jobcast_server.security.keys import Key
from jobcast_server.security.scopes import Scope


def run(*arguments):
    return CliRunner().invoke(command, list(map(str, arguments)))


def new(path, name="slurm", *more):
    return run("new", "--file", path, "--id", name, "--scope", "predict", *more)


def test_a_token_is_shown_once_and_only_its_hash_is_kept(tmp_path):
    path = tmp_path / "keys.json"
    made = new(path, "slurm", "--rate", 500, "--scope", "report", "--days", 30)
    assert made.exit_code == 0, made.output
    token = made.stdout.strip()
    assert re.fullmatch(r"jc_[A-Za-z0-9_-]{43}", token)
    assert token not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    (key,) = keyfile.read(path)
    assert key.digest == keyfile.digest(token.encode())
    assert (key.id, key.scopes, key.bounds) == ("slurm", {Scope.PREDICT, Scope.REPORT}, (500, 500))
    assert timedelta(days=29) < key.expires - datetime.now(UTC) < timedelta(days=31)
    assert new(tmp_path / "other.json").stdout != made.stdout
    shown = run("list", "--file", path).output
    assert "slurm" in shown
    assert token not in shown


def test_keys_are_added_and_revoked_one_by_one(tmp_path):
    path = tmp_path / "keys.json"
    for name in ("a", "b", "c"):
        assert new(path, name).exit_code == 0
    path.chmod(0o640)
    assert run("revoke", "--file", path, "--id", "b").exit_code == 0
    assert [key.id for key in keyfile.read(path)] == ["a", "c"]
    assert path.stat().st_mode & 0o777 == 0o640  # whoever could read it still can
    assert "a, c" in run("revoke", "--file", path, "--id", "b").output
    assert "is there already" in new(path, "a").output
    assert "--id" in new(path, "A b").output
    assert "--rate" in new(path, "d", "--rate", -1).output
    for days in ("nan", "inf", "1e300"):
        refused = new(path, "d", "--days", days)
        assert (refused.exit_code, "--days" in refused.output) == (2, True), refused.output
    assert [key.id for key in keyfile.read(path)] == ["a", "c"]


def test_the_list_cuts_nothing_off(tmp_path):
    path, name = tmp_path / "keys.json", "k" * 64
    new(path, name, "--scope", "report", "--scope", "admin", "--rate", 500, "--days", 1e-9)
    header, line = run("list", "--file", path).output.splitlines()
    (key,) = keyfile.read(path)
    assert header.split() == ["id", "scopes", "rate", "burst", "expires", "sha256"]
    assert line.split() == [
        name, "predict,report,admin", "500/s", "500", key.expires.isoformat(), "(expired)", key.sha256[:12],
    ]  # fmt: skip


def test_calls_at_once_go_with_a_rate(tmp_path):
    refused = new(tmp_path / "keys.json", "a", "--burst", 5)
    assert (refused.exit_code, "--burst: is of a key with a --rate" in refused.output) == (2, True)
    assert new(tmp_path / "keys.json", "a", "--burst", 5, "--rate", 1).exit_code == 0


def entry(**change):
    return {"id": "a", "sha256": "0" * 64, "scopes": ["predict"]} | change


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "JSON"),
        ("[]", "should be an object"),
        ({"keys": [entry(id="A")]}, "keys.0.id"),
        ({"keys": [entry(id="a\n")]}, "keys.0.id"),
        ({"keys": [entry(sha256="jc_secret-that-somebody-put-here")]}, "keys.0.sha256"),
        ({"keys": [entry(sha256="G" * 64)]}, "keys.0.sha256"),
        ({"keys": [entry(scopes=[])]}, "keys.0.scopes"),
        ({"keys": [entry(scopes=["root"])]}, "keys.0.scopes"),
        ({"keys": [entry(rate=-1)]}, "keys.0.rate"),
        ({"keys": [entry(expires="2026-01-01T00:00:00")]}, "keys.0.expires"),
        ({"keys": [entry(scope="admin")]}, "keys.0.scope"),
        ({"keys": [entry(), entry(sha256="1" * 64)]}, "id must be of one key"),
        ({"keys": [entry(), entry(id="b")]}, "sha256 must be of one key"),
    ],
)
def test_a_broken_file_is_refused_without_telling_what_may_be_a_secret(tmp_path, content, message):
    path = tmp_path / "keys.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    path.chmod(0o600)
    with pytest.raises(StartupError, match=re.escape(message)) as caught:
        keyfile.read(path)
    assert "secret-that" not in str(caught.value)


def test_a_file_that_everybody_can_write_is_refused(tmp_path):
    path = tmp_path / "keys.json"
    new(path)
    path.chmod(0o602)
    with pytest.raises(StartupError, match=r"written by everybody.*chmod 600"):
        keyfile.read(path)
    path.chmod(0o644)
    keyfile.read(path)  # hashes of random secrets, which a warning is enough for


def test_a_failed_write_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "keys.json"
    new(path)
    before = path.read_bytes()
    monkeypatch.setattr(keyfile.os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space left")))
    assert "No space left" in new(path, "b").output
    assert path.read_bytes() == before
    assert not list(tmp_path.glob(".keys-*"))


def made(name, token, *scopes, **more):
    sha256 = keyfile.digest(token).hex()
    return Key(id=name, sha256=sha256, scopes=frozenset(scopes or (Scope.PREDICT,)), **more)


def test_callers_stay_as_long_as_their_key_does():
    ring = Keyring([made("a", b"a"), made("b", b"b"), made("c", b"c", Scope.PREDICT, Scope.ADMIN)], PYTHON)
    changes = []
    ring.changed.append(lambda: changes.append(ring.admitted(Scope.PREDICT)))
    a, b, c = (ring.find(token) for token in (b"a", b"b", b"c"))
    assert a.id == "a"
    assert ring.find(b"d") is None
    rate = a.rate
    ring.replace([made("a", b"a", Scope.PREDICT, Scope.REPORT), made("b", b"other"), made("c", b"c", Scope.ADMIN)])
    assert ring.find(b"a") is a
    assert a.rate is rate
    assert a.scopes == {Scope.PREDICT, Scope.REPORT}
    assert not a.ended.is_set()
    assert b.ended.is_set()  # another secret
    assert c.ended.is_set()  # a scope less
    assert ring.find(b"b") is None
    assert [digest for digest, _ in changes[-1]] == [keyfile.digest(b"a"), keyfile.digest(b"other")]


def test_the_whole_hash_is_compared():
    begins_alike = Key(id="a", sha256=keyfile.digest(b"a").hex()[:32] + "0" * 32, scopes=frozenset((Scope.PREDICT,)))
    ring = Keyring([begins_alike, made("b", b"b")], PYTHON)
    assert ring.find(b"a") is None
    assert ring.find(b"b").id == "b"


def test_an_expired_key_opens_nothing_and_ends_its_streams(monkeypatch):
    soon = datetime.now(UTC) + timedelta(hours=1)
    ring = Keyring([made("a", b"a", expires=soon), made("b", b"b")], PYTHON)
    caller = ring.find(b"a")

    class Later(datetime):
        @classmethod
        def now(cls, tz=None):
            return soon

    monkeypatch.setattr("jobcast_server.security.keyring.datetime", Later)
    assert ring.find(b"a") is None  # even before anybody looked
    assert not caller.ended.is_set()
    ring.expire()
    assert caller.ended.is_set()
    assert len(ring) == 1
    ring.replace([made("a", b"a", expires=soon)])
    assert len(ring) == 0
