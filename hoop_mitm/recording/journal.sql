-- One segment of the journal. Append-only: rows are added in order and never changed; a segment goes as a whole.

CREATE TABLE records (
    seq            INTEGER PRIMARY KEY,
    kind           TEXT NOT NULL,
    data           BLOB NOT NULL, -- the skeleton (hoop_mitm.evidence)
    digest         BLOB NOT NULL,
    link           BLOB NOT NULL,
    who_salt       BLOB,
    who            BLOB,
    statement_salt BLOB,
    statement      BLOB,
    exchange_salt  BLOB,
    exchange       BLOB,
    bodies         TEXT NOT NULL  -- JSON: for each side {"salt", and "parts" (ids in bodies) or "file" and "frames"}
) STRICT;

CREATE TABLE bodies (
    id   INTEGER PRIMARY KEY,
    size INTEGER NOT NULL,
    data BLOB NOT NULL
) STRICT;

-- One row: the chain that the records belong to, as it was before the first of them.
CREATE TABLE chain (
    id          TEXT NOT NULL,
    seq         INTEGER NOT NULL,
    head        BLOB NOT NULL,
    checkpoints INTEGER NOT NULL,
    checkpoint  BLOB NOT NULL,
    signed      INTEGER NOT NULL,
    key         TEXT NOT NULL -- fingerprint of the key that signs
) STRICT;

CREATE TABLE checkpoints (
    number INTEGER PRIMARY KEY,
    line   TEXT NOT NULL -- JSON
) STRICT;

CREATE TABLE owners (
    id         INTEGER PRIMARY KEY,
    kind       TEXT NOT NULL,
    resource   TEXT NOT NULL,
    principal  TEXT NOT NULL,
    connection TEXT NOT NULL,
    at         REAL NOT NULL
) STRICT;
