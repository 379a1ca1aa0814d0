"""A page that is closed while the app answers it, said to the app as uvicorn would; it has nothing to complain of."""

import asyncio

from jobcast_ui.command import APP
from jobcast_ui.leaving import leavable
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.starlette import App

PAGE = {
    "type": "websocket", "asgi": {"version": "3.0"}, "scheme": "ws", "path": "/_stcore/stream", "root_path": "",
    "raw_path": b"/_stcore/stream", "query_string": b"", "headers": [(b"host", b"localhost")], "state": {},
    "subprotocols": ["streamlit"], "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2),
}  # fmt: skip


async def leave(app):
    asked = BackMsg()
    asked.rerun_script.query_string = ""
    click = {"type": "websocket.receive", "bytes": asked.SerializeToString()}
    said = iter([{"type": "websocket.connect"}, click, click, {"type": "websocket.disconnect", "code": 1006}])
    gone = asyncio.Event()
    heard = 0

    async def receive():
        nonlocal heard
        heard += 1
        if heard > 2:
            await gone.wait()
        return next(said)

    async def send(message):
        if message["type"] == "websocket.send":
            gone.set()
            raise OSError

    await app(PAGE, receive, send)
    assert gone.is_set()
    assert heard == 3


async def main():
    app = leavable(App(APP))
    started = asyncio.Event()
    life = asyncio.Queue()

    async def told(message):
        started.set()

    life.put_nowait({"type": "lifespan.startup"})
    living = asyncio.create_task(app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, life.get, told))
    await started.wait()
    await leave(app)
    life.put_nowait({"type": "lifespan.shutdown"})
    await living
    print("left")


asyncio.run(main())
