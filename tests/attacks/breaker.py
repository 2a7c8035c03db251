"""A script for mitmdump that makes one hook of one addon raise, and another one for the next connection.

What to break stands in the file named by $BREAK, as `Class.hook`; it is read when a client connects.
"""

import os
from pathlib import Path

from mitmproxy import ctx
from mitmproxy.addonmanager import traverse

_broken: list[tuple[object, str]] = []


def client_connected(client: object) -> None:
    while _broken:
        addon, hook = _broken.pop()
        delattr(addon, hook)
    wanted, _, hook = Path(os.environ["BREAK"]).read_text().strip().partition(".")
    for addon in traverse(ctx.master.addons.chain):
        if wanted and type(addon).__name__ == wanted and type(addon).__module__.startswith("hoop_mitm."):
            setattr(addon, hook, _raise)
            _broken.append((addon, hook))


def _raise(*_: object) -> None:
    raise RuntimeError("broken on purpose")
