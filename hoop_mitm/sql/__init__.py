"""What a statement says, by its text alone. Knows BigQuery's dialect; knows nothing of requests, jobs or recordings.

Importing it is cheap; the parser is imported at the first use.
"""

from hoop_mitm.sql.references import tables_read

__all__ = ["tables_read"]
