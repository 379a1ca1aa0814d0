"""Batch in a real browser: a file in, progress, a table, files out."""

import io
import re

import numpy as np
import pandas as pd
from jobcast import InferenceClient, Records

HEADER = "JobID|User|Account|Partition|QOS|JobName|Submit|Timelimit|ReqCPUS|NNodes|ReqMem"


def _job(row):
    """A job of sacct, and a step of it."""
    user, partition = ("ada", "bob", "eve")[row % 3], ("normal", "debug")[row % 2]
    submit, limit, nodes = f"2024-05-01T10:{row:02d}:00", f"0{1 + row % 6}:00:00", 1 + row % 4
    job = f"{100 + row}|{user}|physics|{partition}|normal|relax|{submit}|{limit}|{8 * nodes}|{nodes}|4G"
    return f"{job}\n{100 + row}.batch||||||{submit}||8|1|4G\n"


SACCT = f"{HEADER}\n{''.join(map(_job, range(60)))}"


def test_sacct_in_and_predictions_out(page, app, server, shot, violations):
    page.goto(f"{app.url}/batch")
    page.get_by_role("combobox", name="Model").click()
    page.get_by_role("option", name="hpc-runtime").click()
    page.get_by_text("Give a file of records for hpc-runtime").wait_for()
    page.locator("input[type=file]").set_input_files(
        {"name": "sacct.txt", "mimeType": "text/plain", "buffer": SACCT.encode()}
    )
    page.get_by_text("60 records, 11 columns, 60 steps of jobs left out").wait_for()
    page.get_by_role("button", name="Predict all").click()
    page.get_by_text("60 records: 60 predicted, 0 failed.").wait_for()
    page.get_by_label(re.compile("Predicted against requested for 60 jobs")).first.wait_for()
    page.get_by_label(re.compile("Saving by user in node-hours")).first.wait_for()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    told = pd.read_csv(download.value.path())
    with InferenceClient(server.address) as client:
        schema, _ = client.schema("hpc-runtime")
        own = pd.read_csv(io.StringIO(SACCT), sep="|", dtype=str, keep_default_na=False)
        own = own[~own["JobID"].str.contains(".", regex=False)]
        records = [
            {"processors_req": job.ReqCPUS, "nodes_req": job.NNodes, "mem_req": "4096", "user": job.User,
             "wallclock_req": str(3600 * int(job.Timelimit[:2])), "submit_time": job.Submit, "partition": job.Partition,
             "qos": job.QOS, "account": job.Account, "job_name": job.JobName}
            for job in own.itertuples()
        ]  # fmt: skip
        answer = client.infer(schema, Records(schema.inputs, written=True).read(records))
    assert told["JobID"].astype(str).tolist() == own["JobID"].tolist()
    np.testing.assert_array_equal(told["point"], np.array(answer["point"])[:, 0])
    saved = (told["saving"] * told["NNodes"] / 3600).sum()
    np.testing.assert_allclose(told["saving_node_hours"].sum(), saved)
    page.get_by_text(f"{saved:,.1f} node-hours").first.wait_for()
    assert violations(page) == []
    page.get_by_role("heading", name="Results").scroll_into_view_if_needed()
    shot(page, "batch")
    page.get_by_role("heading", name="Savings").scroll_into_view_if_needed()
    shot(page, "batch-savings")
