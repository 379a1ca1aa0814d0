"""The page Batch run without a browser against a real server: files in, the server's own numbers out."""

import io
import random

import numpy as np
import pandas as pd
import pytest
from jobcast import InferenceClient, Records
from jobcast_ui.batch import summary, table
from jobcast_ui.batch.run import run
from jobcast_ui.batch.upload import read

HEADER = "processors_req,nodes_req,wallclock_req,submit_time,partition,qos,user,note"


def jobs(rows):
    """A file of jobs; every tenth breaks a rule."""
    made = random.Random(3)  # noqa: S311 - made-up jobs
    lines = [
        f"{made.choice([8, 16, 32])},{made.choice([1, 2]) if row % 10 != 7 else 0},{made.choice([1800, 7200, 36000])},"
        f"{10**9 + 60 * row},{made.choice(['normal', 'debug'])},normal,{made.choice(['ada', 'bob', ''])},x{row}"
        for row in range(rows)
    ]
    return "\n".join([HEADER, *lines]).encode()


@pytest.fixture
def inference(server):
    with InferenceClient(server.address) as client:
        yield client


@pytest.fixture
def told(inference):
    """The server's answers to the good rows of a file, asked one by one: point, recommended, saving, node-hours."""

    def ask(content):
        schema, _ = inference.schema("hpc-runtime")
        found = {}
        for row, job in pd.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False).iterrows():
            if job["nodes_req"] != "0":
                batch = Records(schema.inputs, written=True).read([dict(job)])
                answer = inference.infer(schema, batch)
                limit = answer["quantiles"][0][schema.quantile_levels.index(schema.limit_level)]
                saving = float(job["wallclock_req"]) - limit
                found[row] = (answer["point"][0][0], limit, saving, saving * float(job["nodes_req"]) / 3600)
        return found

    return ask


def upload(app, content, name="jobs.csv", model="hpc-runtime"):
    app.selectbox(key="batch-model").set_value(model).run()
    app.file_uploader(key="batch-file").set_value((name, content, "application/octet-stream")).run()
    assert not app.exception
    return app


def predict(app):
    next(one for one in app.button if one.label == "Predict all").click().run()
    assert not app.exception
    return app


def frame_with(app, column):
    """The table that has this column."""
    return next(one.value for one in app.dataframe if column in one.value)


def test_every_row_of_the_table_is_the_servers_answer(opened, told):
    content = jobs(40)
    app = predict(upload(opened("batch"), content))
    frame = frame_with(app, "point")
    expected = told(content)
    assert len(expected) == 36
    for row, (point, limit, saving, hours) in expected.items():
        shown = frame.loc[row + 1]
        assert (shown["point"], shown["recommended"], shown["saving"], shown["saving_node_hours"]) == (
            point, limit, saving, hours
        )  # fmt: skip
        assert shown["error"] == ""
    for row in range(7, 40, 10):
        assert frame.loc[row + 1, "error"] == "nodes_req: must be finite and >= 1, got 0.0"
        assert np.isnan(frame.loc[row + 1, "point"])
    assert [one.value for one in app.warning] == [
        "4 of the first 40 records cannot be read; they fail alone.",
        "40 records: 36 predicted, 4 failed.",
    ]


def test_savings_add_up_to_what_the_rows_say(opened, told):
    content = jobs(30)
    app = predict(upload(opened("batch"), content))
    expected = told(content)
    users = pd.read_csv(io.BytesIO(content), keep_default_na=False)["user"]
    by_user = {user: sum(expected[row][3] for row in expected if users[row] == user) for user in ("ada", "bob", "")}
    total = sum(hours for *_, hours in expected.values())
    shown = " ".join(one.value for one in (*app.markdown, *app.caption)).replace("\\", "")
    assert f"**{summary.figure(total)} node-hours**" in shown
    for user, hours in by_user.items():
        assert f"{user or 'not known'} {summary.figure(hours)}" in shown
    assert f"for {len(expected)} jobs" in shown


def test_problems_are_shown_before_anything_is_asked(opened):
    app = upload(opened("batch"), jobs(20))
    problems = frame_with(app, "problems")
    assert problems["row"].tolist() == [8, 18]
    assert problems["problems"].tolist() == ["nodes_req: must be finite and >= 1, got 0.0"] * 2
    assert "batch-state" not in app.session_state


def test_a_missing_column_is_named_and_mended_by_choosing_one(opened):
    content = jobs(12).replace(b"nodes_req", b"how_many")
    app = upload(opened("batch"), content)
    assert any("nodes\\_req" in one.value and "must be given" in one.value for one in app.error)
    assert [one for one in app.button if one.label == "Predict all"] == []
    app.selectbox(key="batch-hpc-runtime-jobs.csv-nodes_req").set_value("how_many").run()
    assert len(frame_with(predict(app), "point")) == 12


def test_the_table_is_filtered_by_text_and_by_number(opened):
    app = predict(upload(opened("batch"), jobs(40)))
    whole = frame_with(app, "point")
    app.selectbox(key="batch-filter").set_value("user").run()
    app.text_input(key="batch-text").set_value("AD").run()
    assert set(frame_with(app, "point")["user"]) == {"ada"}
    app.selectbox(key="batch-filter").set_value("point").run()
    middle = float(whole["point"].median())
    app.number_input(key="batch-low").set_value(middle).run()
    shown = frame_with(app, "point")["point"]
    assert 0 < len(shown) < len(whole)
    assert shown.min() >= middle


def test_a_file_that_is_none_is_refused_without_a_trace(opened):
    app = upload(opened("batch"), b"not parquet", "jobs.parquet")
    assert "cannot be read as Parquet" in app.error[0].value


def test_requests_are_no_larger_than_the_server_takes_and_rows_keep_their_places(inference):
    schema, most = inference.schema("hpc-runtime")
    columns = read("jobs.csv", jobs(57)).columns
    del columns["note"]
    done = []
    small = run(inference, schema, 10, columns, 57, written=True, tell=done.append)
    whole = run(inference, schema, most, columns, 57, written=True)
    assert done[-1] == 57
    assert done == sorted(done)
    assert len(done) == 6
    assert small.errors.keys() == whole.errors.keys() == {7, 17, 27, 37, 47}
    np.testing.assert_array_equal(small.quantiles, whole.quantiles)


def test_downloads_hold_the_files_cells_the_answers_and_every_quantile(inference):
    schema, most = inference.schema("hpc-runtime")
    file = read("jobs.csv", jobs(20))
    results = run(inference, schema, most, file.columns, 20, written=True)
    frame = table.whole(file.columns, schema, results)
    for back in (
        pd.read_csv(io.BytesIO(table.as_csv(frame)), dtype={"note": str}),
        pd.read_parquet(io.BytesIO(table.as_parquet(frame))),
    ):
        assert list(back.columns) == list(frame.columns)
        assert back["note"].tolist() == file.columns["note"]
        levels = [f"quantile_{level:g}" for level in schema.quantile_levels]
        np.testing.assert_array_equal(back[levels].to_numpy(), results.quantiles)
        assert (back["model"][0], back["unit"][0]) == ("hpc-runtime", "s")


def test_columns_of_the_file_that_are_called_as_answers_stay(inference):
    schema, most = inference.schema("hpc-runtime")
    columns = read("jobs.csv", jobs(3)).columns | {"error": ["a"] * 3, "model": ["b"] * 3, "model_in_file": ["c"] * 3}
    frame = table.whole(columns, schema, run(inference, schema, most, columns, 3, written=True))
    for back in (pd.read_csv(io.BytesIO(table.as_csv(frame))), pd.read_parquet(io.BytesIO(table.as_parquet(frame)))):
        own = [back[name][0] for name in ("error_in_file", "model_in_file_in_file", "model_in_file")]
        assert own == ["a", "b", "c"]
        assert back["model"][0] == "hpc-runtime"


def test_memory_is_compared_with_the_recommended_allocation(inference):
    schema, most = inference.schema("build-memory")
    columns = {
        "build_profile": ["linuxx86_64-gcc-release"] * 2, "memreq_mib": ["512000", ""], "time": ["1714557600"] * 2
    }  # fmt: skip
    results = run(inference, schema, most, columns, 2, written=True)
    batch = Records(schema.inputs, written=True).sift(columns, 2)[0]
    allocation = inference.infer(schema, batch)["allocation"]
    shown = table.answers(schema, results)
    assert shown["recommended"].tolist() == [row[0] for row in allocation]
    assert shown["request"][0] == 500.0
    assert np.isnan(shown["request"][1])
    assert shown["saving"][0] == 500.0 - allocation[0][0]
    assert "saving_node_hours" not in shown
