-- An empty fn_id, path, error or blame stands for none. There is no foreign key to apps: a call is
-- recorded after the fact, and one of an app that was just deleted must not fail its whole batch.
CREATE TABLE calls (
    id           TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    app_id       TEXT             NOT NULL,
    fn_id        TEXT             NOT NULL,
    path         TEXT             NOT NULL,
    status       TEXT             NOT NULL,
    error        TEXT             NOT NULL,
    blame        TEXT             NOT NULL,
    created_at   BIGINT           NOT NULL,
    started_at   BIGINT,
    completed_at BIGINT           NOT NULL
);

CREATE INDEX calls_of_app ON calls (app_id, id);
CREATE INDEX calls_of_fn ON calls (fn_id, id);
CREATE INDEX calls_by_age ON calls (created_at);

-- Apart from the calls, so that listing those does not read past every log. No row for an empty log.
CREATE TABLE logs (
    call_id      TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES calls (id) ON DELETE CASCADE,
    log          BYTEA            NOT NULL
);
