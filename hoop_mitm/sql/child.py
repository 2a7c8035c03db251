"""``python -m hoop_mitm.sql.child``: reads tasks from standard input, and writes facts to standard output.

It ends with its input, and so with the gateway.
"""

import gc
import signal
import sys
from typing import BinaryIO, Final

import msgspec

from hoop_mitm.sql.process import LENGTH, Task
from hoop_mitm.sql.understanding import understand

LAST: Final = 30
"""Seconds after which it ends by itself, when nobody is left to end it."""


def serve(source: BinaryIO, target: BinaryIO) -> None:
    """Answers tasks, one after the other, until ``source`` ends."""
    understand("SELECT 1", project="p")
    # Trees are full of circles. They are cleared away when the answer is out, not while somebody waits.
    gc.freeze()
    gc.disable()
    while len(head := source.read(LENGTH)) == LENGTH:
        task = msgspec.msgpack.decode(source.read(int.from_bytes(head)), type=Task)
        signal.alarm(LAST)
        facts = understand(task.statement, project=task.project, default_dataset=task.default, legacy=task.legacy)
        signal.alarm(0)
        answer = msgspec.msgpack.encode(facts)
        target.write(len(answer).to_bytes(LENGTH) + answer)
        target.flush()
        gc.collect(0)


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
