"""Names come from callers and paths from the operator: no name leads out of its folder, none names a file of another
kind, and nothing is ever unpickled."""

import ast
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jobcast_server.errors import InvalidRequestError
from jobcast_server.repository.folder import NAME, VERSION
from jobcast_server.taskpredictor.tables import checked

PACKAGE = Path(__file__).parents[2] / "server" / "jobcast_server"
TRAVERSALS = (
    "../../etc/passwd", "..%2F..%2Fetc%2Fpasswd", "....//....//etc/passwd", "/etc/passwd", "%2Fetc%2Fpasswd", "..", ".",
    "%2e%2e", "%252e%252e%252fetc", "a%00.json", "..\\..\\windows", "hpc-runtime%2F1", "hpc-runtime%2F..%2Fhpc-runtime",
    "C:%5Cx", "~root", "$(id)", "a;id", "a%0aid", "keys.json", "%ff%fe",
)  # fmt: skip


@pytest.mark.parametrize("name", TRAVERSALS)
def test_no_model_of_such_a_name(guarded, name):
    served, headers = guarded.served, guarded.keys.headers("all")
    for path in (
        f"/v2/models/{name}", f"/v2/models/{name}/config", f"/v2/models/{name}/versions/1",
        f"/v2/models/hpc-runtime/versions/{name}",
    ):  # fmt: skip
        assert served.ask("GET", path, headers=headers).status in (403, 404), path
    for verb in ("load", "unload"):
        answer = served.ask("POST", f"/v2/repository/models/{name}/{verb}", {}, headers)
        assert answer.status in (403, 404), answer.body
    assert b"root:" not in answer.body


@pytest.mark.parametrize("name", TRAVERSALS)
def test_no_table_of_such_a_name(guarded, name):
    body = {"trace": {"input_feature": []}, "lookup_table": True, "lookup_table_name": name}
    answer = guarded.served.ask("POST", "/predict/single/a/b/c/d/e", body, guarded.keys.headers("predict"))
    assert answer.status in (404, 422), answer.body
    assert b"root:" not in answer.body


@pytest.mark.parametrize(
    "name", ["../x.json", "x/y.json", "/x.json", "..json", "x..json", ".x.json", "x.pkl", "x.json\n", "x.json/"]
)
def test_a_table_is_written_nowhere_else(guarded, name):
    edge = "edge7"
    parts = {"table_name": name, "trace_file": '[{"input_feature": [{"param_name": "a", "val": 1}]}]'}
    body = "".join(
        f'--{edge}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n' for key, value in parts.items()
    )
    headers = {"Content-Type": f"multipart/form-data; boundary={edge}"} | guarded.keys.headers("admin")
    answer = guarded.served.ask("POST", "/predict/table/a/b/c/d/e", f"{body}--{edge}--\r\n".encode(), headers)
    assert answer.status == 422
    assert b"bare file name" in answer.body


@given(st.text(max_size=30))
def test_what_matches_is_one_plain_part_of_a_path(text):
    for pattern in (NAME, VERSION):
        if pattern.fullmatch(text):
            assert text not in (".", "..")
            assert not set(text) & set("/\\\x00\n%:~$ ")
    try:
        found = checked(text + ".json")
    except InvalidRequestError:
        return
    assert Path(found).name == found
    assert ".." not in found


def test_a_pickle_is_no_model_and_no_table(tmp_path):
    from jobcast_server.taskpredictor import tablefile

    class Evil:
        def __reduce__(self):
            return Path.touch, (tmp_path / "owned",)

    raw = pickle.dumps(Evil())
    for name in ("table.json", "table.csv"):
        (tmp_path / name).write_bytes(raw)
        with pytest.raises(InvalidRequestError):
            tablefile.read(tmp_path / name)
    assert not (tmp_path / "owned").exists()


def test_the_server_never_imports_what_executes_data():
    forbidden = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "yaml"}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            names = {alias.name for alias in node.names} if isinstance(node, ast.Import) else set()
            names |= {node.module or ""} if isinstance(node, ast.ImportFrom) else set()
            assert not {name.partition(".")[0] for name in names} & forbidden, path
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("eval", "exec", "compile"), path
