"""Which model a page is about: those that answer now, as the server's index tells, or one that the visitor names."""

import streamlit as st
from jobcast import Denied, InferenceClient, NotFound

FIRST = "hpc-runtime"


def chosen_model(client: InferenceClient, key: str) -> str:
    """The model that the visitor chose; a key that does not open the index has to know its name.

    Raises:
        NotFound: none answers; says why not.
    """
    try:
        listed = client.models()
    except Denied:
        return st.text_input("Model", FIRST, key=f"{key}-named", help="This key does not open the list of models.")
    names = sorted({one.name for one in listed if one.ready})
    if not names:
        reasons = "; ".join(f"{one.name} {one.version}: {one.reason or one.state}" for one in listed)
        raise NotFound(f"no model answers: {reasons or 'the repository is empty'}")
    if st.session_state.get(key) not in (None, *names):
        del st.session_state[key]
    return st.selectbox("Model", names, key=key, help="Every model of the server that answers now.")


def chosen_version(client: InferenceClient, model: str, key: str, label: str = "Version") -> str:
    """The version of it, newest first, among those that answer."""
    versions = sorted((int(one.version) for one in client.models() if one.ready and one.name == model), reverse=True)
    if st.session_state.get(key) not in (None, *map(str, versions)):
        del st.session_state[key]
    return st.selectbox(label, [str(version) for version in versions], key=key)
