-- The archive. Written by the fold, read by everyone; the comments are the documentation.
-- Version 1.

CREATE TABLE IF NOT EXISTS archive (
    version      INTEGER     NOT NULL,
    created_at   TIMESTAMPTZ NOT NULL,
    written_by   VARCHAR     NOT NULL
);
COMMENT ON TABLE archive IS 'One row: the version of this schema and the program that made the file.';

CREATE TABLE IF NOT EXISTS sessions (
    id             VARCHAR PRIMARY KEY,
    name           VARCHAR     NOT NULL,
    connection     VARCHAR     NOT NULL,
    issuer         VARCHAR     NOT NULL,
    subject        VARCHAR     NOT NULL,
    email          VARCHAR,
    groups         VARCHAR[]   NOT NULL,
    kind           VARCHAR     NOT NULL,
    agent          VARCHAR     NOT NULL,
    client_address VARCHAR     NOT NULL,
    started_at     TIMESTAMPTZ NOT NULL,
    last_seen_at   TIMESTAMPTZ NOT NULL,
    ended_at       TIMESTAMPTZ
);

CREATE TABLE IF NOT EXISTS jobs (
    key               VARCHAR PRIMARY KEY,
    session_id        VARCHAR     NOT NULL,
    id                VARCHAR,
    project           VARCHAR,
    location          VARCHAR,
    statement         VARCHAR,
    executed_statement VARCHAR,
    fingerprint       VARCHAR,
    statement_type    VARCHAR,
    job_type          VARCHAR     NOT NULL,
    referenced_tables STRUCT(project VARCHAR, dataset VARCHAR, "table" VARCHAR)[] NOT NULL,
    destination       STRUCT(project VARCHAR, dataset VARCHAR, "table" VARCHAR),
    labels            MAP(VARCHAR, VARCHAR),
    dry_run           BOOLEAN     NOT NULL,
    state             VARCHAR     NOT NULL,
    error             VARCHAR,
    decision          VARCHAR     NOT NULL,
    rule              VARCHAR     NOT NULL,
    message           VARCHAR,
    bytes_processed   BIGINT,
    bytes_billed      BIGINT,
    cache_hit         BOOLEAN,
    slot_ms           BIGINT,
    schema            VARCHAR,
    row_count         BIGINT,
    started_at        TIMESTAMPTZ NOT NULL,
    ended_at          TIMESTAMPTZ
);

CREATE TABLE IF NOT EXISTS flows (
    id               VARCHAR PRIMARY KEY,
    session_id       VARCHAR,
    job_key          VARCHAR,
    state            VARCHAR     NOT NULL,
    door             VARCHAR,
    kind             VARCHAR,
    protocol         VARCHAR,
    http_version     VARCHAR     NOT NULL,
    method           VARCHAR     NOT NULL,
    host             VARCHAR     NOT NULL,
    url              VARCHAR     NOT NULL,
    status           SMALLINT,
    grpc_status      SMALLINT,
    decision         VARCHAR     NOT NULL,
    rule             VARCHAR     NOT NULL,
    message          VARCHAR,
    error            VARCHAR,
    user_agent       VARCHAR     NOT NULL,
    client_address   VARCHAR     NOT NULL,
    level            VARCHAR     NOT NULL,
    request_headers  VARCHAR     NOT NULL,
    response_headers VARCHAR     NOT NULL,
    request_body     BLOB,
    request_size     BIGINT      NOT NULL,
    response_body    BLOB,
    response_size    BIGINT      NOT NULL,
    started_at       TIMESTAMPTZ NOT NULL,
    ended_at         TIMESTAMPTZ
);

CREATE TABLE IF NOT EXISTS bodies (
    hash BLOB   NOT NULL,
    part INTEGER NOT NULL,
    size BIGINT NOT NULL,
    data BLOB   NOT NULL,
    PRIMARY KEY (hash, part)
);

CREATE TABLE IF NOT EXISTS events (
    id             VARCHAR PRIMARY KEY,
    at             TIMESTAMPTZ NOT NULL,
    type           VARCHAR     NOT NULL,
    message        VARCHAR     NOT NULL,
    session_id     VARCHAR,
    flow_id        VARCHAR,
    issuer         VARCHAR,
    subject        VARCHAR,
    email          VARCHAR,
    client_address VARCHAR     NOT NULL,
    details        VARCHAR     NOT NULL
);
