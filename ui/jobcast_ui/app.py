"""The app's frame, run anew by Streamlit for every visit: the pages, and where their numbers come from."""

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import streamlit as st

from jobcast_ui import connection

ICON = Path(__file__).with_name("icon.svg")

PAGES = {
    "predict": ("Predict", ":material/timer:"),
    "batch": ("Batch", ":material/table_rows:"),
    "dashboard": ("Dashboard", ":material/monitoring:"),
    "models": ("Models", ":material/deployed_code:"),
    "simulation": ("Simulation", ":material/replay:"),
}
"""Title and icon of every page by the package that holds it."""


def main() -> None:
    """Show the chosen page."""
    st.set_page_config(page_title="jobcast", page_icon=ICON.read_text(), layout="wide")
    there = [name for name in PAGES if _is_there(name)]
    pages = [
        st.Page(_opener(name), title=PAGES[name][0], icon=PAGES[name][1], url_path=name, default=name == there[0])
        for name in there
    ]
    chosen = st.navigation(pages)
    connection.sidebar()
    chosen.run()


def _is_there(name: str) -> bool:
    try:
        return find_spec(f"jobcast_ui.{name}.page") is not None
    except ModuleNotFoundError:
        return False


def _opener(name: str) -> Callable[[], None]:
    """Imports a page when it is opened, so that none waits for the libraries of another."""

    def opened() -> None:
        import_module(f"jobcast_ui.{name}.page").show()

    return opened


if __name__ == "__main__":
    main()
