-- Two triggers may have one source if they take different methods, which no constraint can tell;
-- whoever writes a trigger looks for others that take the same requests.
ALTER TABLE triggers DROP CONSTRAINT triggers_source;

CREATE INDEX triggers_by_source ON triggers (app_id, source);

-- What images answered when they were asked for their functions; nothing, where they declined.
CREATE TABLE indexes (
    digest     TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    answer     BYTEA            NOT NULL,
    created_at BIGINT           NOT NULL
);
