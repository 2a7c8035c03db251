"""A configuration as a file that :func:`hoop_mitm.config.load` reads."""

import json
import os
from pathlib import Path

from hoop_mitm.config.model import Config


def write(config: Config, path: Path, says: str) -> Path:
    """Write ``config`` as YAML (which JSON is), for its owner's eyes only: a proxy's address may hold a password.

    Args:
        config: what to write.
        path: the file; replaced in one step.
        says: a line on where it comes from.
    """
    text = json.dumps(config.model_dump(mode="json", exclude_none=True), indent=2)
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    fresh.touch(mode=0o600)
    fresh.write_text(f"# {says}\n{text}\n")
    fresh.replace(path)
    return path
