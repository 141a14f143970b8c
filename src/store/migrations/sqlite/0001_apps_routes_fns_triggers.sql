-- Maps are JSON text; times are milliseconds since the Unix epoch; memory and tmpfs_size are MB;
-- timeouts are seconds.
CREATE TABLE apps (
    id         TEXT    NOT NULL PRIMARY KEY,
    name       TEXT    NOT NULL UNIQUE,
    config     TEXT    NOT NULL,
    annotations TEXT   NOT NULL,
    syslog_url TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
);

CREATE TABLE routes (
    app_id       TEXT    NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    path         TEXT    NOT NULL,
    image        TEXT    NOT NULL,
    format       TEXT    NOT NULL,
    memory       INTEGER NOT NULL,
    cpus         TEXT    NOT NULL,
    timeout      INTEGER NOT NULL,
    idle_timeout INTEGER NOT NULL,
    tmpfs_size   INTEGER NOT NULL,
    type         TEXT    NOT NULL,
    headers      TEXT    NOT NULL,
    config       TEXT    NOT NULL,
    annotations  TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    PRIMARY KEY (app_id, path)
);

CREATE TABLE fns (
    id           TEXT    NOT NULL PRIMARY KEY,
    name         TEXT    NOT NULL,
    app_id       TEXT    NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    image        TEXT    NOT NULL,
    format       TEXT    NOT NULL,
    memory       INTEGER NOT NULL,
    timeout      INTEGER NOT NULL,
    idle_timeout INTEGER NOT NULL,
    config       TEXT    NOT NULL,
    annotations  TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    UNIQUE (app_id, name),
    -- The target of the triggers' foreign key, which keeps a trigger and its function in one app.
    UNIQUE (app_id, id)
);

CREATE TABLE triggers (
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
    UNIQUE (app_id, type, source),
    FOREIGN KEY (app_id, fn_id) REFERENCES fns (app_id, id) ON DELETE CASCADE
);
