"""The recording held against BigQuery's own account of what ran.

This room knows the recording as `archive` reads it and BigQuery's API as its owner's credential may ask it; it knows
nothing of mitmproxy, of the command line, or of writing records.
"""

from hoop_mitm.reconciling.client import BigQuery
from hoop_mitm.reconciling.intents import Resolution, resolve
from hoop_mitm.reconciling.ran import Ran
from hoop_mitm.reconciling.reconciler import Question, reconcile
from hoop_mitm.reconciling.report import KINDS, Counts, Finding, Kind, NotChecked, Outcome, Report

__all__ = [
    "KINDS",
    "BigQuery",
    "Counts",
    "Finding",
    "Kind",
    "NotChecked",
    "Outcome",
    "Question",
    "Ran",
    "Report",
    "Resolution",
    "reconcile",
    "resolve",
]
