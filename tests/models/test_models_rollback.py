"""`jobcast models rollback` pins a version that was verified, in one rename, and touches nothing else."""

import stat
from pathlib import Path

import pytest


def tree(repository: Path) -> dict[str, bytes]:
    return {str(p.relative_to(repository)): p.read_bytes() for p in repository.rglob("*") if p.is_file()}


def served(run_json):
    return [row["version"] for row in run_json("list") if row["state"] == "serve"]


def test_to_the_version_before_and_back(toys, run, run_json):
    before = tree(toys)
    said = run("rollback", "toy-latency").stdout
    path = toys / "toy-latency" / "config.pbtxt"
    assert f"toy-latency: pinned to version 2 in {path}; served: 3 before, 2 now" in said
    assert "With none, restart it; with explicit, send it RepositoryModelLoad for toy-latency." in said
    assert served(run_json) == ["2"]
    run("rollback", "toy-latency")
    assert served(run_json) == ["1"]
    after = tree(toys)
    assert after.pop("toy-latency/config.pbtxt")
    assert after == before
    assert "not pinned" in run("rollback", "toy-latency", "--release").stdout
    assert served(run_json) == ["3"]
    assert tree(toys) == before


def test_to_a_named_version(toys, run_json):
    change = run_json("rollback", "toy-latency", "--to", "1")
    assert change == {"name": "toy-latency", "before": [3], "after": [1], "pinned": 1, "changed": True}
    assert not run_json("rollback", "toy-latency", "--to", "1")["changed"]
    assert run_json("rollback", "toy-latency", "--release")["after"] == [3]
    assert not run_json("rollback", "toy-latency", "--release")["changed"]


def test_the_rest_of_the_configuration_stays(toys, run):
    path = toys / "toy-latency" / "config.pbtxt"
    text = '# ours\nname: "toy-latency"\nversion_policy { latest { num_versions: 2 } }\nmax_batch_size: 64  # small\n'
    path.write_text(text)
    path.chmod(0o640)
    run("rollback", "toy-latency")
    assert path.read_text().startswith('# ours\nname: "toy-latency"\nversion_policy {')
    assert path.read_text().endswith("\n}\nmax_batch_size: 64  # small\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    run("rollback", "toy-latency", "--release")
    assert path.read_text() == text


def test_whoever_reads_meanwhile_sees_all_of_the_old_or_all_of_the_new(toys, run):
    path = toys / "toy-latency" / "config.pbtxt"
    text = 'name: "toy-latency"\n' + "# " + "x" * 100_000 + "\n"
    path.write_text(text)
    with path.open() as reader:
        run("rollback", "toy-latency")
        assert reader.read() == text
    assert path.read_text().startswith(text)
    assert {entry.name for entry in path.parent.iterdir()} == {"1", "2", "3", "config.pbtxt"}


def test_a_new_configuration_can_be_read_by_the_servers_user(toys, run):
    run("rollback", "toy-latency")
    assert stat.S_IMODE((toys / "toy-latency" / "config.pbtxt").stat().st_mode) == 0o644


@pytest.mark.parametrize("flags", [(), ("--to", "2")])
def test_a_bad_version_is_refused_and_nothing_written(toys, bundles, run, flags):
    bundles.flip(toys / "toy-latency" / "2")
    before = tree(toys)
    said = run("rollback", "toy-latency", *flags, code=2).stderr
    assert "model toy-latency: version 2 is refused: model.onnx: SHA-256 is" in said
    assert said.endswith("good versions: 3, 1\n")
    assert tree(toys) == before


def test_past_a_bad_newest_version_the_one_before_is_before_what_serves(toys, bundles, run_json):
    bundles.flip(toys / "toy-latency" / "3")
    assert run_json("rollback", "toy-latency") == {
        "name": "toy-latency", "before": [2], "after": [1], "pinned": 1, "changed": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("toy-latency", "--to", "9"), "version 9 is not in"),
        (("toy-latncy",), "did you mean 'toy-latency'?"),
        (("toy-latency", "--to", "1", "--release"), "--to: does not go with --release"),
        (("toy-latency", "--to", "0"), "0 is not in the range x>=1"),
    ],
)
def test_wrong_use(toys, run, arguments, problem):
    assert problem in run("rollback", *arguments, code=2).stderr


def test_there_is_no_version_before_the_first(repository, bundles, run):
    bundles.toy(repository, 4)
    said = run("rollback", "toy-latency", code=2).stderr
    assert "there is no version before 4, which is served; there are: 4" in said


def test_when_nothing_serves_a_version_must_be_named(toys, run, run_json):
    (toys / "toy-latency" / "config.pbtxt").write_text("version_policy { specific { versions: [9] } }\n")
    said = run("rollback", "toy-latency", code=2).stderr
    assert "no version is served; name one with --to; good versions: 3, 2, 1" in said
    assert run_json("rollback", "toy-latency", "--to", "3")["after"] == [3]


def test_a_configuration_that_cannot_be_read_is_left_alone(toys, run):
    path = toys / "toy-latency" / "config.pbtxt"
    path.write_text("version_policy {")
    assert "config.pbtxt: is not a model configuration" in run("rollback", "toy-latency", code=2).stderr
    assert path.read_text() == "version_policy {"


def test_a_configuration_that_leads_elsewhere_is_not_followed(toys, run):
    outside = toys.parent / "outside"
    outside.write_text('name: "toy-latency"\n')
    (toys / "toy-latency" / "config.pbtxt").symlink_to(outside)
    assert "must be a regular file" in run("rollback", "toy-latency", code=2).stderr
    assert outside.read_text() == 'name: "toy-latency"\n'


@pytest.mark.parametrize("policy", ["specific { }", "specific { versions: [-1] }"])
def test_a_policy_that_could_not_be_put_back_is_not_replaced(toys, run, policy):
    config = toys / "toy-latency" / "config.pbtxt"
    config.write_text(f"version_policy {{ {policy} }}\n")
    assert "the policy before the rollback must be" in run("rollback", "toy-latency", "--to", "1", code=2).stderr
    assert config.read_text() == f"version_policy {{ {policy} }}\n"


def test_a_policy_of_as_many_as_there_can_be_is_put_back(toys, run):
    config = toys / "toy-latency" / "config.pbtxt"
    config.write_text("version_policy { latest { num_versions: 4294967295 } }\n")
    run("rollback", "toy-latency")
    run("rollback", "toy-latency", "--release")
    assert config.read_text() == "version_policy { latest { num_versions: 4294967295 } }\n"
