"""Is a recording what the gateway wrote? Everything that a file lets itself be checked for, offline, reading only.

This room knows the archive's schema, the evidence in it (:mod:`hoop_mitm.evidence`), and the fold's own way from records
to tables, which it goes again to compare. It takes nothing that the file says for granted: see :mod:`.file`.
"""

from hoop_mitm.archive.verify.report import ChainReport, Finding, Limit, Place, Report
from hoop_mitm.archive.verify.verify import Progress, verify

__all__ = ["ChainReport", "Finding", "Limit", "Place", "Progress", "Report", "verify"]
