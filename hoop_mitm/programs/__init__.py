"""Which program is at the other end of a connection, when it runs on this machine. Linux and macOS.

A hint for people: programs of one user can take each other's names, and this room says nothing rather than something
that may be wrong. Knows processes and sockets; knows nothing of the gateway.
"""

from hoop_mitm.programs.kernel import Address
from hoop_mitm.programs.lookup import Lookup

__all__ = ["Address", "Lookup"]
