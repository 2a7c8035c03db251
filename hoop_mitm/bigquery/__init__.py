"""BigQuery's wire: what a request means, what an answer made, what a job was. Bytes and strings in, facts out.

Knows BigQuery's REST and Storage APIs; knows nothing of mitmproxy, of principals or of policy. The names are imported
when they are first used. ``rows`` and ``storage`` read recordings back and are imported as modules.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from hoop_mitm.bigquery.operation import Door, Operation, Resource, TableRef

if TYPE_CHECKING:
    from hoop_mitm.bigquery import batch, refusals
    from hoop_mitm.bigquery.agents import agent_name
    from hoop_mitm.bigquery.content import decoded
    from hoop_mitm.bigquery.doors import effective_method, find
    from hoop_mitm.bigquery.fingerprints import fingerprint
    from hoop_mitm.bigquery.hosts import (
        BIGQUERY_HOSTS,
        INTERCEPTED_HOSTS,
        REFUSED_HOSTS,
        TOKEN_HOSTS,
        api_of,
        is_bigquery_host,
        why_refused,
    )
    from hoop_mitm.bigquery.jobs import JobFacts, job_facts, merge
    from hoop_mitm.bigquery.ownership import created, filter_jobs_list
    from hoop_mitm.bigquery.reading import append_facts, projects, read
    from hoop_mitm.bigquery.rewriting import with_labels
    from hoop_mitm.bigquery.unreadable import Unreadable

__all__ = [
    "BIGQUERY_HOSTS",
    "INTERCEPTED_HOSTS",
    "REFUSED_HOSTS",
    "TOKEN_HOSTS",
    "Door",
    "JobFacts",
    "Operation",
    "Resource",
    "TableRef",
    "Unreadable",
    "agent_name",
    "api_of",
    "append_facts",
    "batch",
    "created",
    "decoded",
    "effective_method",
    "filter_jobs_list",
    "find",
    "fingerprint",
    "is_bigquery_host",
    "job_facts",
    "merge",
    "projects",
    "read",
    "refusals",
    "why_refused",
    "with_labels",
]

_HOMES = {
    "BIGQUERY_HOSTS": "hosts",
    "INTERCEPTED_HOSTS": "hosts",
    "TOKEN_HOSTS": "hosts",
    "REFUSED_HOSTS": "hosts",
    "JobFacts": "jobs",
    "Unreadable": "unreadable",
    "agent_name": "agents",
    "api_of": "hosts",
    "append_facts": "reading",
    "created": "ownership",
    "decoded": "content",
    "effective_method": "doors",
    "filter_jobs_list": "ownership",
    "find": "doors",
    "fingerprint": "fingerprints",
    "is_bigquery_host": "hosts",
    "job_facts": "jobs",
    "merge": "jobs",
    "projects": "reading",
    "read": "reading",
    "why_refused": "hosts",
    "with_labels": "rewriting",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = import_module(f"{__name__}.{_HOMES.get(name, name)}")
    value: object = getattr(home, name) if name in _HOMES else home
    globals()[name] = value
    return value
