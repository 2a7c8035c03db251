"""What another program recorded, taken into an archive and marked as such.

It is no evidence of this gateway: nobody here saw it happen. It is redacted like everything else, and lies in a chain of
its own, whose first record says where it came from. This room knows mitmproxy's flow file (:mod:`.mitm`, which imports
mitmproxy for that alone, when it is called) and the archive's write side.
"""

from hoop_mitm.importing.importing import Imported, import_flows

__all__ = ["Imported", "import_flows"]
