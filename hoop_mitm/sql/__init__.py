"""What a statement says, by its text alone. Knows BigQuery's dialect; knows nothing of requests, jobs or recordings.

Importing it is cheap; the parser is imported at the first use.
"""

from hoop_mitm.sql.agreement import agrees, behind
from hoop_mitm.sql.facts import FEATURES, Dataset, StatementFacts, Verb
from hoop_mitm.sql.process import Understanding
from hoop_mitm.sql.references import tables_read
from hoop_mitm.sql.understanding import understand

__all__ = [
    "FEATURES",
    "Dataset",
    "StatementFacts",
    "Understanding",
    "Verb",
    "agrees",
    "behind",
    "tables_read",
    "understand",
]
