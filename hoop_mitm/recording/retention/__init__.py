"""How long a recording keeps what: what is too old, or is to be erased, is taken out of the archive for good.

The archive is never changed in place, since DuckDB leaves deleted values in the file. What stays is copied into a fresh
file, which then takes its place; a signed event in it lists what was taken, so that it can be told from tampering.
"""
