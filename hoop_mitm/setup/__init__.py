"""Changes to other programs' settings, and to what the system starts, that can be taken back to the byte.

Knows where editors keep their settings, which MCP servers talk to BigQuery, JSON with comments, systemd and launchd.
Knows nothing of the gateway but its client file.
"""

from hoop_mitm.setup.editing import Change, EditError, set_members, taken_back
from hoop_mitm.setup.jsonc import JsoncError, parse, value_of
from hoop_mitm.setup.settings_file import SettingsFile

__all__ = ["Change", "EditError", "JsoncError", "SettingsFile", "parse", "set_members", "taken_back", "value_of"]
