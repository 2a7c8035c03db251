-- One segment of the journal. Append-only: rows are added in order and never changed; a segment goes as a whole.

CREATE TABLE records (
    seq   INTEGER PRIMARY KEY,
    kind  TEXT NOT NULL,
    data  BLOB NOT NULL, -- JSON
    parts TEXT NOT NULL  -- JSON: the ids in bodies that its request and response consist of
) STRICT;

CREATE TABLE bodies (
    id   INTEGER PRIMARY KEY,
    size INTEGER NOT NULL,
    data BLOB NOT NULL
) STRICT;

CREATE TABLE owners (
    id         INTEGER PRIMARY KEY,
    kind       TEXT NOT NULL,
    resource   TEXT NOT NULL,
    principal  TEXT NOT NULL,
    connection TEXT NOT NULL,
    at         REAL NOT NULL
) STRICT;
