"""The settings file of ``bq``: the user's own, without what would lead it past the gateway or to another project."""

import re
from collections.abc import Mapping
from pathlib import Path

# Flags of bq that choose another address, another trust, another identity or project, or log tokens (`bq --helpfull`).
_LEADS_PAST = re.compile(
    r"\s*-{0,2}(?:no)?(?:"
    r"api|api_version|apilog|bigquery_discovery_api_key|ca_certificates_file|disable_ssl_validation|discovery_file"
    r"|flagfile|httplib|mtls|project_id|proxy_\w+|quota_project_id|universe_domain|use_regional_endpoints|use_rep"
    r"|\w*credential\w*|\w*oauth\w*|service_account\w*|use_gce_service_account|use_google_auth|use_lep"
    r")\b"
)


def write_bq_settings(path: Path, existing: Mapping[str, str]) -> Path:
    """Write ``path`` from the file that ``bq`` would read (``$BIGQUERYRC``, or ``~/.bigqueryrc``)."""
    own = Path(existing.get("BIGQUERYRC") or Path(existing.get("HOME", "/")) / ".bigqueryrc")
    try:
        lines = own.read_text().splitlines(keepends=True)
    except (OSError, UnicodeDecodeError):
        lines = []
    path.write_text("".join(line for line in lines if not _LEADS_PAST.match(line)))
    return path
