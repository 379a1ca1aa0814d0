"""Run checks with one client of tritonclient: `triton_run.py DIALECT ADDRESS ROWS MODULE...`.

Prints one JSON object: check -> null where it holds, else the traceback.
"""

import asyncio
import importlib
import json
import sys
import traceback
from pathlib import Path

from rows import Rows
from triton_dialects import DIALECTS


async def run(dialect, address, rows_path, modules):
    rows, found = Rows(Path(rows_path)), {}
    client = DIALECTS[dialect](address)
    for module in map(importlib.import_module, modules):
        for name, check in vars(module).items():
            if name.startswith("check_"):
                try:
                    await check(client, rows)
                    found[name] = None
                except Exception:
                    found[name] = traceback.format_exc()
    await client.close()
    return found


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]))))
