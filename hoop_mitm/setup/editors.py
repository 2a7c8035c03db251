"""Where editors keep the settings of a user."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

_TERMINALS = {"darwin": "osx", "win32": "windows"}


def cursor_servers(environment: Mapping[str, str] = os.environ) -> Path:
    """Cursor's own list of MCP servers; a project may have another one in its ``.cursor``."""
    return _home(environment) / ".cursor" / "mcp.json"


def cursor_settings(environment: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Path:
    """Cursor's user settings."""
    match platform:
        case "darwin":
            base = _home(environment) / "Library" / "Application Support"
        case "win32":
            base = Path(environment.get("APPDATA") or _home(environment) / "AppData" / "Roaming")
        case _:
            base = Path(environment.get("XDG_CONFIG_HOME") or _home(environment) / ".config")
    return base / "Cursor" / "User" / "settings.json"


def terminal_variables(platform: str = sys.platform) -> str:
    """The setting that holds the variables of integrated terminals on this system."""
    return f"terminal.integrated.env.{_TERMINALS.get(platform, 'linux')}"


def _home(environment: Mapping[str, str]) -> Path:
    return Path(environment.get("HOME") or Path.home())
