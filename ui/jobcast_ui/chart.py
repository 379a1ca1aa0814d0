"""A picture with what it says in words below it, for those who read rather than look."""

import streamlit as st

from jobcast_ui.drawing import Drawing


def chart(picture: Drawing, key: str, text: str) -> None:
    """Show a picture; `text` is both what stands below it and what a screen reader says of it."""
    st.vega_lite_chart(picture, width="stretch", key=key, alt=text)
    st.caption(text)
