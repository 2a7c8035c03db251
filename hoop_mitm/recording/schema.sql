-- The archive. Written by the fold, read by everyone; the comments are the documentation.
-- Version 4.
--
-- No primary keys: the fold keeps ids unique itself, and DuckDB's key indexes would triple the time
-- that it holds the file and add half to the file's size.

CREATE TABLE IF NOT EXISTS archive (
    version      INTEGER     NOT NULL,
    created_at   TIMESTAMPTZ NOT NULL,
    written_by   VARCHAR     NOT NULL
);
COMMENT ON TABLE archive IS 'One row: the version of this schema and the program that made the file.';
COMMENT ON COLUMN archive.version IS 'Version of the schema; a program refuses a version that it does not know.';
COMMENT ON COLUMN archive.created_at IS 'When the file was made.';
COMMENT ON COLUMN archive.written_by IS 'The program and version that made the file.';

CREATE TABLE IF NOT EXISTS journals (
    id           VARCHAR     NOT NULL,
    folded_to    BIGINT      NOT NULL,
    held         BIGINT[]    NOT NULL,
    folded_at    TIMESTAMPTZ NOT NULL
);
COMMENT ON TABLE journals IS 'How far each journal has been folded into this file. Written together with what was folded, so that nothing is folded twice or left out.';
COMMENT ON COLUMN journals.id IS 'The journal: one per recordings directory.';
COMMENT ON COLUMN journals.folded_to IS 'The last record that was looked at.';
COMMENT ON COLUMN journals.held IS 'Records before it that wait: young intents, whose answers are expected any moment.';
COMMENT ON COLUMN journals.folded_at IS 'When that was.';

CREATE TABLE IF NOT EXISTS sessions (
    id             VARCHAR     NOT NULL,
    name           VARCHAR     NOT NULL,
    connection     VARCHAR     NOT NULL,
    issuer         VARCHAR     NOT NULL,
    subject        VARCHAR     NOT NULL,
    email          VARCHAR,
    groups         VARCHAR[]   NOT NULL,
    kind           VARCHAR     NOT NULL,
    agent          VARCHAR     NOT NULL,
    client_address VARCHAR     NOT NULL,
    program        VARCHAR,
    process        VARCHAR,
    started_at     TIMESTAMPTZ NOT NULL,
    last_seen_at   TIMESTAMPTZ NOT NULL,
    ended_at       TIMESTAMPTZ
);
COMMENT ON TABLE sessions IS 'One principal''s run of one client through one connection.';
COMMENT ON COLUMN sessions.id IS 'UUID; also the label hoop-session of the session''s jobs in INFORMATION_SCHEMA.JOBS. Unique.';
COMMENT ON COLUMN sessions.name IS 'What the user called it, or one made from principal and agent.';
COMMENT ON COLUMN sessions.connection IS 'The connection of hoop.yaml that it went through.';
COMMENT ON COLUMN sessions.issuer IS 'OIDC issuer that vouched for the principal.';
COMMENT ON COLUMN sessions.subject IS 'The principal''s subject at that issuer; identifies them only together with the issuer.';
COMMENT ON COLUMN sessions.email IS 'The principal''s e-mail, when the token carried one.';
COMMENT ON COLUMN sessions.groups IS 'The principal''s groups at that time.';
COMMENT ON COLUMN sessions.kind IS 'user for people, machine for workloads.';
COMMENT ON COLUMN sessions.agent IS 'The client program as its headers tell it: python, bq, node, toolbox …';
COMMENT ON COLUMN sessions.client_address IS 'IP address that the session was first seen from.';
COMMENT ON COLUMN sessions.program IS 'The program that opened the session, after its parents: Cursor › zsh › bq. Known only of programs on the gateway''s machine. A hint, not an identity: a program can call itself what it likes.';
COMMENT ON COLUMN sessions.process IS 'JSON list of these processes, parents first: pid, name, path, script. NULL where program is.';
COMMENT ON COLUMN sessions.started_at IS 'When it began.';
COMMENT ON COLUMN sessions.last_seen_at IS 'The latest time of any of its exchanges.';
COMMENT ON COLUMN sessions.ended_at IS 'When it was closed (event session.ended); NULL while open, or when its gateway died.';

CREATE TABLE IF NOT EXISTS jobs (
    key               VARCHAR     NOT NULL,
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
    tables_from       VARCHAR,
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
COMMENT ON TABLE jobs IS 'One BigQuery job, joined from all the flows that touch it; also estimates (dry runs) and statements that were denied and so never became a job.';
COMMENT ON COLUMN jobs.key IS 'project:jobId (project:location.jobId where the same id exists in two locations), or the flow''s id: when BigQuery gave no job id, refused it, or has not answered, and for what is held under an id that is taken. Of an imported file the chain and a slash stand before it. Unique.';
COMMENT ON COLUMN jobs.session_id IS 'The session that started it (sessions.id).';
COMMENT ON COLUMN jobs.id IS 'BigQuery''s job id; NULL for denied statements, dry runs and queries that ran without a job.';
COMMENT ON COLUMN jobs.project IS 'The project that the job ran in and that pays.';
COMMENT ON COLUMN jobs.location IS 'BigQuery location, such as EU or us-central1.';
COMMENT ON COLUMN jobs.statement IS 'The SQL exactly as the client sent it.';
COMMENT ON COLUMN jobs.executed_statement IS 'The SQL that BigQuery was given, where the gateway changed it; otherwise NULL.';
COMMENT ON COLUMN jobs.fingerprint IS 'Hash of the normalised statement without its literals: statements of one shape share it.';
COMMENT ON COLUMN jobs.statement_type IS 'BigQuery''s word: SELECT, INSERT, CREATE_TABLE_AS_SELECT, SCRIPT …';
COMMENT ON COLUMN jobs.job_type IS 'QUERY, LOAD, EXTRACT or COPY.';
COMMENT ON COLUMN jobs.referenced_tables IS 'Tables that the job read; tables_from says who says so.';
COMMENT ON COLUMN jobs.tables_from IS 'bigquery: BigQuery''s own account, also behind views. statement: what the text names, because the client never asked BigQuery for its account. NULL: nobody knows.';
COMMENT ON COLUMN jobs.destination IS 'Table that the result went to; an anonymous one where none was named.';
COMMENT ON COLUMN jobs.labels IS 'Labels on the job, the gateway''s own (hoop-…) included.';
COMMENT ON COLUMN jobs.dry_run IS 'Only an estimate was asked for: nothing ran and nothing is billed.';
COMMENT ON COLUMN jobs.state IS 'BigQuery''s last known word: PENDING, RUNNING or DONE; DENIED when it was never sent; FAILED when BigQuery refused to make it a job; UNKNOWN when no answer was seen.';
COMMENT ON COLUMN jobs.error IS 'Why it failed, in BigQuery''s words.';
COMMENT ON COLUMN jobs.decision IS 'The last word about it: allow (it was sent to BigQuery, also after a review), deny, or review (it waits for one, or one ended it).';
COMMENT ON COLUMN jobs.rule IS 'The rule that gave the verdict. review.approved: reviewers let it run, the label hoop-review names their review. review.rejected, review.expired, review.withdrawn: how a review ended without it.';
COMMENT ON COLUMN jobs.message IS 'What the client was told, when the verdict was not allow.';
COMMENT ON COLUMN jobs.bytes_processed IS 'Bytes read (estimated, for a dry run).';
COMMENT ON COLUMN jobs.bytes_billed IS 'Bytes billed; 0 from the cache.';
COMMENT ON COLUMN jobs.cache_hit IS 'The result came from BigQuery''s cache.';
COMMENT ON COLUMN jobs.slot_ms IS 'Slot time in milliseconds.';
COMMENT ON COLUMN jobs.schema IS 'The result''s schema, JSON as BigQuery gives it: {"fields": [{"name", "type", "mode", …}]}.';
COMMENT ON COLUMN jobs.row_count IS 'Rows that the job produced (totalRows), whether the client fetched them or not.';
COMMENT ON COLUMN jobs.started_at IS 'When the client asked for it; of a job that reviewers let run, when it was sent to BigQuery.';
COMMENT ON COLUMN jobs.ended_at IS 'When it ended, by BigQuery''s clock where known, else when the client had its answer.';

CREATE TABLE IF NOT EXISTS flows (
    id               VARCHAR     NOT NULL,
    chain            VARCHAR,
    seq              BIGINT      NOT NULL,
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
    tables           STRUCT(project VARCHAR, dataset VARCHAR, "table" VARCHAR)[] NOT NULL,
    status           SMALLINT,
    grpc_status      SMALLINT,
    decision         VARCHAR     NOT NULL,
    rule             VARCHAR     NOT NULL,
    message          VARCHAR,
    error            VARCHAR,
    user_agent       VARCHAR     NOT NULL,
    client_address   VARCHAR     NOT NULL,
    program          VARCHAR,
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
COMMENT ON TABLE flows IS 'One HTTP exchange, or one gRPC call, between a client and BigQuery (or a refusal of ours).';
COMMENT ON COLUMN flows.id IS 'UUIDv7, in the order of their beginnings. Unique.';
COMMENT ON COLUMN flows.chain IS 'With seq, the record that the row comes from (records), the last word on it; NULL for what was recorded before there were chains.';
COMMENT ON COLUMN flows.seq IS 'Order in which the journal took the records, whatever the clock did.';
COMMENT ON COLUMN flows.session_id IS 'The session (sessions.id); NULL when nobody was identified.';
COMMENT ON COLUMN flows.job_key IS 'The job that it is about (jobs.key); for a Storage read, the job whose result it reads.';
COMMENT ON COLUMN flows.state IS 'open (no outcome yet), complete (BigQuery answered), refused (the gateway answered), held (the gateway answered for a job that waits for a review, or that a review ended), truncated (a stream that broke), failed (no answer from BigQuery).';
COMMENT ON COLUMN flows.door IS 'Google''s name of the method: jobs.query, tabledata.list, storage.ReadRows …; NULL when it was refused before it was understood.';
COMMENT ON COLUMN flows.kind IS 'The most that the door can do: read, write, admin or metadata.';
COMMENT ON COLUMN flows.protocol IS 'rest or grpc.';
COMMENT ON COLUMN flows.http_version IS 'HTTP/1.1 or HTTP/2.0, on the client''s side.';
COMMENT ON COLUMN flows.method IS 'HTTP method.';
COMMENT ON COLUMN flows.host IS 'Host that the client addressed.';
COMMENT ON COLUMN flows.url IS 'Whole URL, without secrets.';
COMMENT ON COLUMN flows.tables IS 'Tables that the request names outside of SQL: path, configuration, read session.';
COMMENT ON COLUMN flows.status IS 'HTTP status that the client got.';
COMMENT ON COLUMN flows.grpc_status IS 'gRPC status code that the client got; 0 is OK.';
COMMENT ON COLUMN flows.decision IS 'allow, deny or review.';
COMMENT ON COLUMN flows.rule IS 'The rule that gave the verdict.';
COMMENT ON COLUMN flows.message IS 'What the client was told, when the verdict was not allow.';
COMMENT ON COLUMN flows.error IS 'What went wrong on the way; NULL when nothing did. BigQuery''s own errors stand in the answer, and in jobs.error.';
COMMENT ON COLUMN flows.user_agent IS 'The client''s User-Agent.';
COMMENT ON COLUMN flows.client_address IS 'The client''s IP address.';
COMMENT ON COLUMN flows.program IS 'The program that asked, as sessions.program: another than that one where a session is used by several.';
COMMENT ON COLUMN flows.level IS 'Recording level of the connection at that time: full, statements, metadata or off.';
COMMENT ON COLUMN flows.request_headers IS 'JSON list of [name, value], in order; secrets redacted. Content-Encoding is the wire''s, bodies are stored decoded.';
COMMENT ON COLUMN flows.response_headers IS 'As request_headers. gRPC trailers follow the headers.';
COMMENT ON COLUMN flows.request_body IS 'The request''s body (bodies.hash); NULL when empty or not recorded at this level.';
COMMENT ON COLUMN flows.request_size IS 'Bytes on the wire.';
COMMENT ON COLUMN flows.response_body IS 'The answer''s body (bodies.hash); NULL when empty or not recorded at this level.';
COMMENT ON COLUMN flows.response_size IS 'Bytes on the wire.';
COMMENT ON COLUMN flows.started_at IS 'When the request''s headers came.';
COMMENT ON COLUMN flows.ended_at IS 'When the answer was complete; NULL while open.';

CREATE TABLE IF NOT EXISTS bodies (
    hash BLOB    NOT NULL,
    part INTEGER NOT NULL,
    size BIGINT  NOT NULL,
    data BLOB    NOT NULL,
    salt BLOB    NOT NULL
);
COMMENT ON TABLE bodies IS 'Bodies of messages, each stored once. A body is its parts in order, each decompressed alone.';
COMMENT ON COLUMN bodies.hash IS 'The body''s name: the commitment to the whole decoded and redacted body (SHA-256 with salt), as the record holds it. Of bodies from before there were chains: a keyed hash.';
COMMENT ON COLUMN bodies.part IS '0, 1, 2 …; hash and part are unique together.';
COMMENT ON COLUMN bodies.size IS 'Bytes of the part when decompressed, at most 4 MiB.';
COMMENT ON COLUMN bodies.data IS 'The part as one zstd frame. Secrets are overwritten with [redacted***], length unchanged.';
COMMENT ON COLUMN bodies.salt IS 'What the commitment was made with: random, for this body only, the same in each of its parts. Empty for bodies from before there were chains.';

CREATE TABLE IF NOT EXISTS read_sessions (
    name       VARCHAR     NOT NULL,
    session_id VARCHAR,
    flow_id    VARCHAR     NOT NULL,
    job_key    VARCHAR,
    source     STRUCT(project VARCHAR, dataset VARCHAR, "table" VARCHAR),
    created_at TIMESTAMPTZ NOT NULL
);
COMMENT ON TABLE read_sessions IS 'Read sessions of the Storage API: which table they read, and for which job.';
COMMENT ON COLUMN read_sessions.name IS 'projects/P/locations/L/sessions/S; its streams are named below it. Unique.';
COMMENT ON COLUMN read_sessions.session_id IS 'The gateway''s session that made it (sessions.id).';
COMMENT ON COLUMN read_sessions.flow_id IS 'The flow that made it (flows.id); its answer holds the Arrow or Avro schema.';
COMMENT ON COLUMN read_sessions.job_key IS 'The job whose result table it reads (jobs.key); NULL for a read of an ordinary table.';
COMMENT ON COLUMN read_sessions.source IS 'The table that it reads.';
COMMENT ON COLUMN read_sessions.created_at IS 'When it was made.';

CREATE TABLE IF NOT EXISTS events (
    id             VARCHAR     NOT NULL,
    chain          VARCHAR,
    seq            BIGINT      NOT NULL,
    occurred_at    TIMESTAMPTZ NOT NULL,
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
COMMENT ON TABLE events IS 'What an auditor would ask about that is no exchange with BigQuery: refused identities and tunnels, starts and stops, refused options.';
COMMENT ON COLUMN events.id IS 'Unique.';
COMMENT ON COLUMN events.chain IS 'With seq, the record that the row comes from (records); NULL for what was recorded before there were chains, and for what the fold itself noticed, which nobody has signed.';
COMMENT ON COLUMN events.seq IS 'Order in which the journal took the records, whatever the clock did; shared with flows.seq.';
COMMENT ON COLUMN events.occurred_at IS 'When it happened.';
COMMENT ON COLUMN events.type IS 'A short stable word: identity.refused, tunnel.refused, gateway.started, session.ended …';
COMMENT ON COLUMN events.message IS 'What happened, in a sentence.';
COMMENT ON COLUMN events.session_id IS 'The session it belongs to (sessions.id), when there is one.';
COMMENT ON COLUMN events.flow_id IS 'The flow it belongs to (flows.id), when there is one.';
COMMENT ON COLUMN events.issuer IS 'OIDC issuer of the principal, when there is one.';
COMMENT ON COLUMN events.subject IS 'The principal''s subject at that issuer.';
COMMENT ON COLUMN events.email IS 'The principal''s e-mail.';
COMMENT ON COLUMN events.client_address IS 'The client''s IP address; empty for events of the gateway itself.';
COMMENT ON COLUMN events.details IS 'JSON object with more facts.';

CREATE TABLE IF NOT EXISTS records (
    chain          VARCHAR NOT NULL,
    seq            BIGINT  NOT NULL,
    kind           VARCHAR NOT NULL,
    data           VARCHAR,
    digest         BLOB    NOT NULL,
    link           BLOB    NOT NULL,
    who_salt       BLOB,
    who            VARCHAR,
    statement_salt BLOB,
    statement      VARCHAR,
    exchange_salt  BLOB,
    exchange       VARCHAR
);
COMMENT ON TABLE records IS 'What the gateway recorded, as it was sealed: each record linked to all before it. The other tables are made from these.';
COMMENT ON COLUMN records.chain IS 'The chain: one per journal, another one when the end of a journal was lost, and one for what was done to this file (kept-…).';
COMMENT ON COLUMN records.seq IS 'Place in the chain, without gaps. chain and seq are unique together.';
COMMENT ON COLUMN records.kind IS 'flow, event, session; start, probe, salvage (a stream that a gateway left unfinished); genesis, key.';
COMMENT ON COLUMN records.data IS 'Canonical JSON without any word of a statement or of a person, with commitments to the parts and bodies. NULL when retention took it.';
COMMENT ON COLUMN records.digest IS 'SHA-256 of data (with a prefix). It stays when data goes.';
COMMENT ON COLUMN records.link IS 'SHA-256 of the link before it, seq and digest (with a prefix).';
COMMENT ON COLUMN records.who_salt IS 'What the commitment to who was made with.';
COMMENT ON COLUMN records.who IS 'Canonical JSON: what tells a person (e-mail, subject, address, program). NULL when there was nothing, or when it was erased.';
COMMENT ON COLUMN records.statement_salt IS 'What the commitment to statement was made with.';
COMMENT ON COLUMN records.statement IS 'Canonical JSON: SQL and whatever may quote it (errors, labels). NULL when there was nothing, or when retention took it.';
COMMENT ON COLUMN records.exchange_salt IS 'What the commitment to exchange was made with.';
COMMENT ON COLUMN records.exchange IS 'Canonical JSON: URL, headers, table names, an event''s text. NULL when there was nothing, or when retention took it.';

CREATE TABLE IF NOT EXISTS checkpoints (
    chain     VARCHAR     NOT NULL,
    number    BIGINT      NOT NULL,
    seq       BIGINT      NOT NULL,
    head      BLOB        NOT NULL,
    previous  BLOB        NOT NULL,
    "at"      TIMESTAMPTZ NOT NULL,
    reason    VARCHAR     NOT NULL,
    key       VARCHAR     NOT NULL,
    signature BLOB        NOT NULL
);
COMMENT ON TABLE checkpoints IS 'Signatures over the chains: each covers everything in its chain up to its record.';
COMMENT ON COLUMN checkpoints.chain IS 'The chain (records.chain).';
COMMENT ON COLUMN checkpoints.number IS '1, 2, 3 … within the chain.';
COMMENT ON COLUMN checkpoints.seq IS 'The last record that it covers.';
COMMENT ON COLUMN checkpoints.head IS 'That record''s link.';
COMMENT ON COLUMN checkpoints.previous IS 'Digest of the checkpoint before it; empty for the first.';
COMMENT ON COLUMN checkpoints."at" IS 'When it was signed.';
COMMENT ON COLUMN checkpoints.reason IS 'start, minute, records (so many were unsigned), close, rotation (of the key), kept (the file''s own chain).';
COMMENT ON COLUMN checkpoints.key IS 'Fingerprint of the key: SHA-256 of the public key, hexadecimal.';
COMMENT ON COLUMN checkpoints.signature IS 'Ed25519, 64 bytes.';

CREATE TABLE IF NOT EXISTS removals (
    chain        VARCHAR NOT NULL,
    event_seq    BIGINT  NOT NULL,
    part         VARCHAR NOT NULL,
    target_chain VARCHAR NOT NULL,
    first_seq    BIGINT  NOT NULL,
    last_seq     BIGINT  NOT NULL
);
COMMENT ON TABLE removals IS 'What was taken out of this file on purpose, by retention or erasure. A signed event commits to these rows.';
COMMENT ON COLUMN removals.chain IS 'With event_seq, the record of the event (type retention.applied, erasure.applied …) that says so. Its details.removals is the SHA-256 of its rows here.';
COMMENT ON COLUMN removals.event_seq IS 'See chain.';
COMMENT ON COLUMN removals.part IS 'What is gone of each record: who, statement, exchange, request_body, response_body, or record (all of it but its digest).';
COMMENT ON COLUMN removals.target_chain IS 'The chain that it is gone from.';
COMMENT ON COLUMN removals.first_seq IS 'The first record.';
COMMENT ON COLUMN removals.last_seq IS 'The last record.';

CREATE TABLE IF NOT EXISTS observations (
    chain VARCHAR NOT NULL,
    seq   BIGINT  NOT NULL,
    data  VARCHAR NOT NULL
);
COMMENT ON TABLE observations IS 'What had been learnt of jobs from bodies that retention took, so that the table jobs can still be checked.';
COMMENT ON COLUMN observations.chain IS 'With seq, the record whose bodies they were.';
COMMENT ON COLUMN observations.seq IS 'See chain.';
COMMENT ON COLUMN observations.data IS 'JSON. The event of the removal commits to it.';

-- On-demand list price of the US multi-region; replace the macro where yours differs.
CREATE OR REPLACE MACRO usd_per_tib() AS 6.25;

-- Who read which table on which day?
CREATE OR REPLACE VIEW table_reads_by_day AS
WITH by_jobs AS (
    SELECT started_at, session_id, unnest(referenced_tables) AS source
    FROM jobs
    WHERE decision = 'allow' AND NOT dry_run AND state NOT IN ('DENIED', 'FAILED')
), direct AS (
    SELECT started_at, session_id, unnest(tables) AS source
    FROM flows
    WHERE decision = 'allow' AND state IN ('complete', 'truncated') AND status < 400 AND coalesce(grpc_status, 0) = 0
        AND job_key IS NULL AND door IN ('tabledata.list', 'storage.CreateReadSession')
)
SELECT
    CAST(timezone('UTC', reads.started_at) AS DATE) AS "day",
    coalesce(sessions.email, sessions.subject) AS principal,
    sessions.issuer,
    source.project AS project,
    source.dataset AS dataset,
    source."table" AS "table",
    count(*) AS reads,
    count(DISTINCT sessions.id) AS sessions,
    min(reads.started_at) AS first_read_at,
    max(reads.started_at) AS last_read_at
FROM (SELECT * FROM by_jobs UNION ALL SELECT * FROM direct) AS reads
JOIN sessions ON sessions.id = reads.session_id
GROUP BY ALL;
COMMENT ON VIEW table_reads_by_day IS 'Who read which table on which day (UTC): through jobs (jobs.tables_from says how that is known), and directly (tabledata.list, Storage API). Dry runs and denied statements are left out; a failed job counts, because it may have read.';
COMMENT ON COLUMN table_reads_by_day."day" IS 'Day in UTC.';
COMMENT ON COLUMN table_reads_by_day.principal IS 'E-mail, or the subject where there is none.';
COMMENT ON COLUMN table_reads_by_day.issuer IS 'OIDC issuer of the principal.';
COMMENT ON COLUMN table_reads_by_day.project IS 'The table''s project.';
COMMENT ON COLUMN table_reads_by_day.dataset IS 'The table''s dataset.';
COMMENT ON COLUMN table_reads_by_day."table" IS 'The table''s name.';
COMMENT ON COLUMN table_reads_by_day.reads IS 'Jobs and direct reads.';
COMMENT ON COLUMN table_reads_by_day.sessions IS 'Sessions that they happened in.';
COMMENT ON COLUMN table_reads_by_day.first_read_at IS 'The first of them on that day.';
COMMENT ON COLUMN table_reads_by_day.last_read_at IS 'The last of them on that day.';

-- What did each principal cost per day?
CREATE OR REPLACE VIEW cost_by_day AS
SELECT
    CAST(timezone('UTC', jobs.started_at) AS DATE) AS "day",
    coalesce(sessions.email, sessions.subject) AS principal,
    sessions.issuer,
    sessions.connection,
    count(*) AS jobs,
    count(*) FILTER (jobs.error IS NOT NULL) AS failed,
    count(*) FILTER (jobs.cache_hit) AS from_cache,
    CAST(coalesce(sum(jobs.bytes_processed), 0) AS BIGINT) AS bytes_processed,
    CAST(coalesce(sum(jobs.bytes_billed), 0) AS BIGINT) AS bytes_billed,
    CAST(coalesce(sum(jobs.slot_ms), 0) AS BIGINT) AS slot_ms,
    round(coalesce(sum(jobs.bytes_billed), 0) / 1099511627776 * usd_per_tib(), 6) AS usd
FROM jobs
JOIN sessions ON sessions.id = jobs.session_id
WHERE jobs.decision = 'allow' AND NOT jobs.dry_run
GROUP BY ALL;
COMMENT ON VIEW cost_by_day IS 'What each principal cost per day (UTC) and connection. Money is bytes billed times usd_per_tib(), a macro in this file that holds the US on-demand list price of $6.25; it says nothing about reservations, storage or Storage API reads.';
COMMENT ON COLUMN cost_by_day."day" IS 'Day in UTC.';
COMMENT ON COLUMN cost_by_day.principal IS 'E-mail, or the subject where there is none.';
COMMENT ON COLUMN cost_by_day.issuer IS 'OIDC issuer of the principal.';
COMMENT ON COLUMN cost_by_day.connection IS 'The connection of hoop.yaml.';
COMMENT ON COLUMN cost_by_day.jobs IS 'Jobs that were sent to BigQuery; dry runs and denied statements are left out.';
COMMENT ON COLUMN cost_by_day.failed IS 'How many of them failed.';
COMMENT ON COLUMN cost_by_day.from_cache IS 'How many of them BigQuery answered from its cache.';
COMMENT ON COLUMN cost_by_day.bytes_processed IS 'Bytes read.';
COMMENT ON COLUMN cost_by_day.bytes_billed IS 'Bytes billed.';
COMMENT ON COLUMN cost_by_day.slot_ms IS 'Slot time in milliseconds.';
COMMENT ON COLUMN cost_by_day.usd IS 'Bytes billed in US dollars at usd_per_tib() for each TiB.';

-- What happened in each session, at a glance?
CREATE OR REPLACE VIEW session_overview AS
WITH flow_totals AS (
    SELECT session_id, count(*) AS flows, count(*) FILTER (decision = 'deny') AS denied
    FROM flows GROUP BY session_id
), job_totals AS (
    SELECT
        session_id,
        count(*) FILTER (NOT dry_run AND decision = 'allow') AS jobs,
        count(*) FILTER (error IS NOT NULL AND decision = 'allow') AS failed,
        CAST(coalesce(sum(bytes_processed) FILTER (NOT dry_run), 0) AS BIGINT) AS bytes_processed,
        CAST(coalesce(sum(bytes_billed) FILTER (NOT dry_run), 0) AS BIGINT) AS bytes_billed
    FROM jobs GROUP BY session_id
)
SELECT
    sessions.id,
    sessions.name,
    coalesce(sessions.email, sessions.subject) AS principal,
    sessions.connection,
    sessions.agent,
    sessions.started_at,
    sessions.last_seen_at,
    sessions.ended_at,
    coalesce(flow_totals.flows, 0) AS flows,
    coalesce(job_totals.jobs, 0) AS jobs,
    coalesce(job_totals.failed, 0) AS failed,
    coalesce(flow_totals.denied, 0) AS denied,
    coalesce(job_totals.bytes_processed, 0) AS bytes_processed,
    coalesce(job_totals.bytes_billed, 0) AS bytes_billed
FROM sessions
LEFT JOIN flow_totals ON flow_totals.session_id = sessions.id
LEFT JOIN job_totals ON job_totals.session_id = sessions.id
ORDER BY sessions.started_at DESC;
COMMENT ON VIEW session_overview IS 'What happened in each session, newest first.';
COMMENT ON COLUMN session_overview.id IS 'sessions.id';
COMMENT ON COLUMN session_overview.name IS 'What the user called it, or one made from principal and agent.';
COMMENT ON COLUMN session_overview.principal IS 'E-mail, or the subject where there is none.';
COMMENT ON COLUMN session_overview.connection IS 'The connection of hoop.yaml.';
COMMENT ON COLUMN session_overview.agent IS 'The client program.';
COMMENT ON COLUMN session_overview.started_at IS 'When it began.';
COMMENT ON COLUMN session_overview.last_seen_at IS 'The latest time of any of its exchanges.';
COMMENT ON COLUMN session_overview.ended_at IS 'When it was closed; NULL while open.';
COMMENT ON COLUMN session_overview.flows IS 'Exchanges, refused ones included.';
COMMENT ON COLUMN session_overview.jobs IS 'Jobs that were sent to BigQuery, without dry runs.';
COMMENT ON COLUMN session_overview.failed IS 'Jobs that ended in an error.';
COMMENT ON COLUMN session_overview.denied IS 'Exchanges that the gateway denied.';
COMMENT ON COLUMN session_overview.bytes_processed IS 'Bytes that its jobs read.';
COMMENT ON COLUMN session_overview.bytes_billed IS 'Bytes that its jobs were billed for.';

-- What was refused, to whom, and why?
CREATE OR REPLACE VIEW denials AS
SELECT
    flows.started_at AS occurred_at,
    coalesce(sessions.email, sessions.subject) AS principal,
    sessions.id AS session_id,
    flows.id AS flow_id,
    flows.door,
    flows.rule,
    flows.message,
    jobs.statement,
    flows.method,
    flows.url,
    flows.client_address
FROM flows
LEFT JOIN sessions ON sessions.id = flows.session_id
LEFT JOIN jobs ON jobs.key = flows.job_key
WHERE flows.decision = 'deny'
UNION ALL
SELECT
    events.occurred_at,
    -- Who said no to a review is not who was refused.
    CASE
        WHEN events.type LIKE 'review.%' THEN coalesce(sessions.email, sessions.subject)
        ELSE coalesce(events.email, events.subject)
    END,
    events.session_id,
    events.flow_id,
    NULL,
    events.type,
    events.message,
    jobs.statement,
    NULL,
    NULL,
    events.client_address
FROM events
LEFT JOIN sessions ON sessions.id = events.session_id
LEFT JOIN jobs ON events.type LIKE 'review.%' AND jobs.session_id = events.session_id
    AND jobs.project = json_extract_string(events.details, 'project')
    AND jobs.id = json_extract_string(events.details, 'job')
-- A refused exchange may have an event too; it is listed once. A review is told of by its event alone, however often the
-- client asks again.
WHERE events.type IN ('review.rejected', 'review.expired')
    OR (events.type LIKE '%.refused' AND (events.flow_id IS NULL OR events.flow_id NOT IN (SELECT id FROM flows)))
ORDER BY 1 DESC;
COMMENT ON VIEW denials IS 'Everything that was refused, newest first: exchanges with BigQuery, identities, tunnels and options, and what reviewers rejected or let expire.';
COMMENT ON COLUMN denials.occurred_at IS 'When.';
COMMENT ON COLUMN denials.principal IS 'E-mail or subject; NULL when nobody was identified.';
COMMENT ON COLUMN denials.session_id IS 'sessions.id';
COMMENT ON COLUMN denials.flow_id IS 'flows.id';
COMMENT ON COLUMN denials.door IS 'The method of BigQuery that was asked for; NULL when it was not understood or is no exchange with BigQuery.';
COMMENT ON COLUMN denials.rule IS 'The rule that said no, or the type of the event.';
COMMENT ON COLUMN denials.message IS 'What the client was told; of a review, how it ended.';
COMMENT ON COLUMN denials.statement IS 'The SQL that was denied.';
COMMENT ON COLUMN denials.method IS 'HTTP method.';
COMMENT ON COLUMN denials.url IS 'URL, without secrets.';
COMMENT ON COLUMN denials.client_address IS 'The client''s IP address.';
