"""A process that records, to be killed. Each line that it prints was acknowledged.

python -m tests.recording.writing DIRECTORY flows       flows from eight clients, for ever
python -m tests.recording.writing DIRECTORY intent      one intent, then it waits
python -m tests.recording.writing DIRECTORY stream      one intent and half of its streamed answer, then it waits
"""

import asyncio
import os
import sys
from dataclasses import replace
from pathlib import Path

from hoop_mitm.bigquery.operation import Resource
from hoop_mitm.config.model import Recording
from hoop_mitm.recording import Owner, Recorder
from tests.recording.building import READ_ROWS, intent, message, now

STREAMED = b"0123456789abcdef" * 2**16


async def write_flows(recorder: Recorder) -> None:
    async def client() -> None:
        while True:
            record = intent(request={"query": "DELETE FROM t WHERE true"})
            await recorder.write(record)
            print("intent", record.id, flush=True)
            done = replace(
                record, state="complete", ended_at=now(), status=200, response=message(os.urandom(3000).hex().encode())
            )
            await recorder.write(done, owns={Resource("job", record.id): Owner("alice", "acme")})
            print("answer", record.id, flush=True)

    await asyncio.gather(*(client() for _ in range(8)))


async def write_intent(recorder: Recorder) -> None:
    record = intent(request={"query": "DELETE FROM t WHERE true"}, statement="DELETE FROM t WHERE true")
    await recorder.write(record)
    print("intent", record.id, flush=True)
    await asyncio.sleep(600)


async def write_stream(recorder: Recorder) -> None:
    record = intent(READ_ROWS, request=b"read it")
    await recorder.write(record)
    spool = recorder.spool(record.id, "response")
    for _ in range(9):
        spool.write(STREAMED)
    print("stream", record.id, flush=True)
    await asyncio.sleep(600)


async def main(directory: Path, what: str) -> None:
    recorder = Recorder(Recording(directory=directory))
    await recorder.start()
    print("started", os.getpid(), flush=True)
    await {"flows": write_flows, "intent": write_intent, "stream": write_stream}[what](recorder)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
