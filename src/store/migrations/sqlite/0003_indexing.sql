-- Two triggers may have one source if they take different methods, which no constraint can tell;
-- whoever writes a trigger looks for others that take the same requests.
CREATE TABLE new_triggers (
    id          TEXT    NOT NULL PRIMARY KEY,
    name        TEXT    NOT NULL,
    app_id      TEXT    NOT NULL,
    fn_id       TEXT    NOT NULL,
    type        TEXT    NOT NULL,
    source      TEXT    NOT NULL,
    annotations TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    UNIQUE (app_id, fn_id, name),
    FOREIGN KEY (app_id, fn_id) REFERENCES fns (app_id, id) ON DELETE CASCADE
);

INSERT INTO new_triggers SELECT id, name, app_id, fn_id, type, source, annotations, created_at,
    updated_at FROM triggers;

DROP TABLE triggers;

ALTER TABLE new_triggers RENAME TO triggers;

CREATE INDEX triggers_by_source ON triggers (app_id, source);

-- What images answered when they were asked for their functions; nothing, where they declined.
CREATE TABLE indexes (
    digest     TEXT    NOT NULL PRIMARY KEY,
    answer     BLOB    NOT NULL,
    created_at INTEGER NOT NULL
);
