"""A client that opens a connection, does what its arguments say, tells the pids that matter, and waits."""

import ctypes
import os
import socket
import sys

PR_SET_DUMPABLE = 4

host, port, *modes = sys.argv[1:]
if "as nobody" in modes:
    os.setgid(65534)
    os.setuid(65534)
    # As a program that was started as nobody, not one that became it and may not be looked at.
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
if "by a child" in modes and (child := os.fork()):
    os.waitpid(child, 0)
    sys.exit()
family = socket.AF_INET6 if ":" in host or "mapped" in modes else socket.AF_INET
connection = socket.socket(family)
connection.connect((f"::ffff:{host}" if "mapped" in modes else host, int(port)))
pids = [os.getpid()]
if "inherited" in modes:
    read, write = os.pipe()
    if child := os.fork():
        pids.append(child)
    else:
        os.close(write)
        os.read(read, 1)
        sys.exit()
if "closed" in modes:
    connection.close()
print(*pids, flush=True)
sys.stdin.read()
