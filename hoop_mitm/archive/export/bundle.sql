-- What a bundle has beside an archive's own tables.

CREATE TABLE IF NOT EXISTS bundle (
    session_id VARCHAR     NOT NULL,
    made_at    TIMESTAMPTZ NOT NULL,
    made_by    VARCHAR     NOT NULL
);
COMMENT ON TABLE bundle IS 'One row: this file is a bundle, one session out of an archive. Of the chains it holds what connects the session''s records to the signatures around them; records of other sessions are withheld: digest and link only. It cannot show that no record of the session is missing.';
COMMENT ON COLUMN bundle.session_id IS 'The session (sessions.id).';
COMMENT ON COLUMN bundle.made_at IS 'When the bundle was made.';
COMMENT ON COLUMN bundle.made_by IS 'The program and version that made it.';
