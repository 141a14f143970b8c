-- Maps are JSON text; times are milliseconds since the Unix epoch; memory and tmpfs_size are MB;
-- timeouts are seconds. What lists are sorted by is compared bytewise, as SQLite does.
CREATE TABLE apps (
    id           TEXT             NOT NULL PRIMARY KEY,
    name         TEXT COLLATE "C" NOT NULL UNIQUE,
    config       TEXT             NOT NULL,
    annotations  TEXT             NOT NULL,
    syslog_url   TEXT,
    created_at   BIGINT           NOT NULL,
    updated_at   BIGINT           NOT NULL
);

CREATE TABLE routes (
    app_id       TEXT             NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    path         TEXT COLLATE "C" NOT NULL,
    image        TEXT             NOT NULL,
    format       TEXT             NOT NULL,
    memory       BIGINT           NOT NULL,
    cpus         TEXT             NOT NULL,
    timeout      BIGINT           NOT NULL,
    idle_timeout BIGINT           NOT NULL,
    tmpfs_size   BIGINT           NOT NULL,
    type         TEXT             NOT NULL,
    headers      TEXT             NOT NULL,
    config       TEXT             NOT NULL,
    annotations  TEXT             NOT NULL,
    created_at   BIGINT           NOT NULL,
    updated_at   BIGINT           NOT NULL,
    PRIMARY KEY (app_id, path)
);

CREATE TABLE fns (
    id           TEXT             NOT NULL PRIMARY KEY,
    name         TEXT COLLATE "C" NOT NULL,
    app_id       TEXT             NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    image        TEXT             NOT NULL,
    format       TEXT             NOT NULL,
    memory       BIGINT           NOT NULL,
    timeout      BIGINT           NOT NULL,
    idle_timeout BIGINT           NOT NULL,
    config       TEXT             NOT NULL,
    annotations  TEXT             NOT NULL,
    created_at   BIGINT           NOT NULL,
    updated_at   BIGINT           NOT NULL,
    UNIQUE (app_id, name),
    -- The target of the triggers' foreign key, which keeps a trigger and its function in one app.
    UNIQUE (app_id, id)
);

CREATE TABLE triggers (
    id           TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name         TEXT COLLATE "C" NOT NULL,
    app_id       TEXT             NOT NULL,
    fn_id        TEXT             NOT NULL,
    type         TEXT             NOT NULL,
    source       TEXT             NOT NULL,
    annotations  TEXT             NOT NULL,
    created_at   BIGINT           NOT NULL,
    updated_at   BIGINT           NOT NULL,
    UNIQUE (app_id, fn_id, name),
    CONSTRAINT triggers_source UNIQUE (app_id, type, source),
    FOREIGN KEY (app_id, fn_id) REFERENCES fns (app_id, id) ON DELETE CASCADE
);
