"""The page: what is served, what each version tells of itself, and two of them on one file."""

from typing import Any

import pandas as pd
import streamlit as st
from jobcast import InferenceClient
from jobcast_proto.manifest import Manifest

from jobcast_ui import connection
from jobcast_ui.chart import chart
from jobcast_ui.choice import chosen_model, chosen_version
from jobcast_ui.models import compare, facts, pictures
from jobcast_ui.models.reliability import BELOW, every_level, told

BARS = 20
CALIBRATION = """Each point is a promise that was checked: of outcomes at or below a quantile, or inside an interval.
The bar at it is where chance alone would leave 95 % of such points, were the promise kept exactly and the outcomes
independent of each other; jobs of one user often are not, which makes the true bars wider."""


def show() -> None:
    """Show the page."""
    st.title("Models")
    _page()


@connection.guarded()
def _page() -> None:
    client = connection.inference()
    _index(client)
    one, two = st.tabs(["One version", "Compare two on a file"])
    with one:
        model = chosen_model(client, "models-model")
        version = chosen_version(client, model, "models-version")
        manifest = client.manifest(model, version)
        _version(manifest, client.card(model))
    with two:
        compare.show(client)


def _index(client: InferenceClient) -> None:
    listed = client.models()
    rows = [{"model": one.name, "version": one.version, "state": one.state, "reason": one.reason} for one in listed]
    if not rows:
        st.info("The server's repository is empty.")
        return
    st.dataframe(pd.DataFrame(rows), hide_index=True, key="models-index")


def _version(manifest: Manifest, card: str) -> None:
    st.caption(f"{manifest.predictor} version {manifest.version}: {manifest.model_type}. In {facts.unit(manifest)}.")
    st.subheader("Metrics")
    _table(facts.metrics(manifest), "metrics")
    _calibration(manifest)
    _importances(manifest)
    policy = facts.policy(manifest)
    if policy:
        st.subheader("How it allocates")
        _table(policy, "policy")
    st.subheader("Inputs")
    _table(facts.inputs(manifest), "inputs")
    st.subheader("Training data")
    _table(facts.fingerprint(manifest), "data")
    st.subheader("How it was made")
    _table(facts.making(manifest), "making")
    st.subheader("Model card")
    if card:
        with st.container(border=True, key="models-card"):
            st.markdown(card)
    else:
        st.info("This model has no card.")


def _calibration(manifest: Manifest) -> None:
    st.subheader("Calibration")
    points = told(manifest)
    if not points:
        st.info("The bundle does not tell how often its quantiles held.")
        return
    text = pictures.reliability_text(points)
    chart(pictures.reliability(points), "models-reliability", text)
    st.caption(CALIBRATION)
    if not every_level(manifest):
        levels = sorted({one.level for one in points if one.kind == BELOW})
        known = ", ".join(f"{level:g}" for level in levels)
        st.info(
            f"This bundle tells the levels {known} alone, and its intervals; bundles that are trained now tell all "
            f"{len(manifest.quantile_levels)} levels. Compare it on a file to see the others."
        )


def _importances(manifest: Manifest) -> None:
    st.subheader("Importances")
    rows = facts.importances(manifest, BARS)
    if not rows:
        st.info("The bundle does not tell which features matter.")
        return
    text = pictures.importances_text(rows, len(manifest.importances))
    chart(pictures.importances(rows), "models-importances", text)


def _table(rows: list[dict[str, Any]], key: str) -> None:
    st.dataframe(pd.DataFrame(rows), hide_index=True, key=f"models-table-{key}")
