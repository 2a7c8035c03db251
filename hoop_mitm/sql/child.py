"""``python -m hoop_mitm.sql.child``: reads tasks from standard input, and writes facts to standard output.

It ends with its input, and so with the gateway.
"""

import sys
from typing import BinaryIO

import msgspec

from hoop_mitm.sql.process import Task
from hoop_mitm.sql.understanding import understand

_LENGTH = 4


def serve(source: BinaryIO, target: BinaryIO) -> None:
    """Answers tasks, one after the other, until ``source`` ends."""
    while len(head := source.read(_LENGTH)) == _LENGTH:
        task = msgspec.msgpack.decode(source.read(int.from_bytes(head)), type=Task)
        facts = understand(task.statement, project=task.project, default_dataset=task.default, legacy=task.legacy)
        answer = msgspec.msgpack.encode(facts)
        target.write(len(answer).to_bytes(_LENGTH) + answer)
        target.flush()


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
