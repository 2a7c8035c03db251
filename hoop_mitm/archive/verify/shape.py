"""A report as JSON: stable names, ISO-8601 times in UTC."""

from dataclasses import asdict
from typing import Any

from hoop_mitm.archive.values import instant
from hoop_mitm.archive.verify.report import ChainReport, Report

type Json = dict[str, Any]


def as_json(report: Report) -> Json:
    return {
        "file": report.path,
        "verified": report.verified,
        "bundle": report.bundle,
        "findings": [
            {"what": finding.what, "words": finding.words, "place": asdict(finding.place)}
            for finding in report.findings
        ],
        "found": dict(report.found),
        "chains": [_chain(chain) for chain in report.chains],
        "checked": dict(report.checked),
        "uncovered": dict(report.uncovered),
        "notes": list(report.notes),
        "limits": [asdict(limit) for limit in report.limits],
        "seconds": round(report.seconds, 3),
    }


def _chain(chain: ChainReport) -> Json:
    return {
        "id": chain.id,
        "origin": chain.origin,
        "records": chain.records,
        "withheld": chain.withheld,
        "removed": dict(chain.removed),
        "first": chain.first,
        "last": chain.last,
        "begins": chain.begins,
        "ends": chain.ends,
        "checkpoints": chain.checkpoints,
        "signed_to": chain.signed_to,
        "signed_at": None if chain.signed_at is None else instant(chain.signed_at),
        "keys": list(chain.keys),
        "proven_to": chain.proven_to,
        "heads": chain.heads,
    }
