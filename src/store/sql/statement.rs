//! Every statement that SQLite and Postgres share: `$n` parameters, byte-ordered text (Postgres
//! columns are declared `COLLATE "C"`). An empty text stands for a filter that is off, because
//! both know its type without a hint.

macro_rules! select_apps {
    ($tail:literal) => {
        concat!(
            "SELECT id, name, config, annotations, syslog_url, created_at, updated_at FROM apps ",
            $tail
        )
    };
}

macro_rules! select_routes {
    ($tail:literal) => {
        concat!(
            "SELECT app_id, path, image, format, memory, cpus, timeout, idle_timeout, tmpfs_size, ",
            "type, headers, config, annotations, created_at, updated_at FROM routes ",
            $tail
        )
    };
}

macro_rules! select_fns {
    ($tail:literal) => {
        concat!(
            "SELECT id, name, app_id, image, format, memory, timeout, idle_timeout, config, ",
            "annotations, created_at, updated_at FROM fns ",
            $tail
        )
    };
}

macro_rules! select_triggers {
    ($tail:literal) => {
        concat!(
            "SELECT id, name, app_id, fn_id, source, annotations, created_at, updated_at ",
            "FROM triggers ",
            $tail
        )
    };
}

macro_rules! select_calls {
    ($tail:literal) => {
        concat!(
            "SELECT id, app_id, fn_id, path, status, error, blame, created_at, started_at, ",
            "completed_at FROM calls ",
            $tail
        )
    };
}

pub(in crate::store) const APP: &str = select_apps!("WHERE id = $1");
pub(in crate::store) const APP_BY_NAME: &str = select_apps!("WHERE name = $1");
pub(in crate::store) const APPS: &str = select_apps!("WHERE name > $1 ORDER BY name LIMIT $2");
pub(in crate::store) const APPS_NAMED: &str =
    select_apps!("WHERE name > $1 AND name = $3 LIMIT $2");
pub(in crate::store) const ALL_APPS: &str = select_apps!("ORDER BY name");
pub(in crate::store) const INSERT_APP: &str = "INSERT INTO apps \
    (id, name, config, annotations, syslog_url, created_at, updated_at) \
    VALUES ($1, $2, $3, $4, $5, $6, $7)";
pub(in crate::store) const UPDATE_APP: &str =
    "UPDATE apps SET config = $2, annotations = $3, syslog_url = $4, updated_at = $5 WHERE id = $1";
pub(in crate::store) const DELETE_APP: &str = "DELETE FROM apps WHERE id = $1";

pub(in crate::store) const ROUTE: &str = select_routes!("WHERE app_id = $1 AND path = $2");
pub(in crate::store) const ROUTES: &str = select_routes!(
    "WHERE app_id = $1 AND path > $2 AND ($3 = '' OR image = $3) ORDER BY path LIMIT $4"
);
pub(in crate::store) const ROUTES_OF_APP: &str = select_routes!("WHERE app_id = $1 ORDER BY path");
pub(in crate::store) const ALL_ROUTES: &str = select_routes!("ORDER BY path");
pub(in crate::store) const INSERT_ROUTE: &str = "INSERT INTO routes \
    (app_id, path, image, format, memory, cpus, timeout, idle_timeout, tmpfs_size, type, headers, \
     config, annotations, created_at, updated_at) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";
pub(in crate::store) const UPDATE_ROUTE: &str = "UPDATE routes SET image = $3, format = $4, memory = $5, \
    cpus = $6, timeout = $7, idle_timeout = $8, tmpfs_size = $9, type = $10, headers = $11, \
    config = $12, annotations = $13, updated_at = $14 WHERE app_id = $1 AND path = $2";
pub(in crate::store) const DELETE_ROUTE: &str =
    "DELETE FROM routes WHERE app_id = $1 AND path = $2";

pub(in crate::store) const FN: &str = select_fns!("WHERE id = $1");
pub(in crate::store) const FNS: &str = select_fns!(
    "WHERE app_id = $1 AND name > $2 AND ($3 = '' OR name = $3) ORDER BY name LIMIT $4"
);
pub(in crate::store) const FNS_OF_APP: &str = select_fns!("WHERE app_id = $1 ORDER BY name");
pub(in crate::store) const ALL_FNS: &str = select_fns!("ORDER BY name");
pub(in crate::store) const INSERT_FN: &str = "INSERT INTO fns \
    (id, name, app_id, image, format, memory, timeout, idle_timeout, config, annotations, \
     created_at, updated_at) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
pub(in crate::store) const UPDATE_FN: &str = "UPDATE fns SET image = $2, format = $3, memory = $4, \
    timeout = $5, idle_timeout = $6, config = $7, annotations = $8, updated_at = $9 WHERE id = $1";
pub(in crate::store) const DELETE_FN: &str = "DELETE FROM fns WHERE id = $1 RETURNING app_id";

pub(in crate::store) const TRIGGER: &str = select_triggers!("WHERE id = $1");
pub(in crate::store) const TRIGGERS: &str = select_triggers!(
    "WHERE app_id = $1 AND (name > $2 OR (name = $2 AND id > $3)) \
     AND ($4 = '' OR fn_id = $4) AND ($5 = '' OR name = $5) ORDER BY name, id LIMIT $6"
);
pub(in crate::store) const TRIGGERS_OF_APP: &str =
    select_triggers!("WHERE app_id = $1 ORDER BY name, id");
pub(in crate::store) const TRIGGERS_AT: &str =
    select_triggers!("WHERE app_id = $1 AND source = $2 ORDER BY name, id");
pub(in crate::store) const PATTERNS_OF_APP: &str =
    select_triggers!("WHERE app_id = $1 AND source LIKE '%{%' ORDER BY name, id");
pub(in crate::store) const ALL_TRIGGERS: &str = select_triggers!("ORDER BY name, id");
pub(in crate::store) const INSERT_TRIGGER: &str = "INSERT INTO triggers \
    (id, name, app_id, fn_id, type, source, annotations, created_at, updated_at) \
    VALUES ($1, $2, $3, $4, 'http', $5, $6, $7, $8)";
pub(in crate::store) const UPDATE_TRIGGER: &str =
    "UPDATE triggers SET source = $2, annotations = $3, updated_at = $4 WHERE id = $1";
pub(in crate::store) const DELETE_TRIGGER: &str =
    "DELETE FROM triggers WHERE id = $1 RETURNING app_id";

pub(in crate::store) const UPSERT_FN: &str = "INSERT INTO fns \
    (id, name, app_id, image, format, memory, timeout, idle_timeout, config, annotations, \
     created_at, updated_at) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
    ON CONFLICT (id) DO UPDATE SET image = excluded.image, format = excluded.format, \
    memory = excluded.memory, timeout = excluded.timeout, \
    idle_timeout = excluded.idle_timeout, config = excluded.config, \
    annotations = excluded.annotations, updated_at = excluded.updated_at";
pub(in crate::store) const UPSERT_TRIGGER: &str = "INSERT INTO triggers \
    (id, name, app_id, fn_id, type, source, annotations, created_at, updated_at) \
    VALUES ($1, $2, $3, $4, 'http', $5, $6, $7, $8) \
    ON CONFLICT (id) DO UPDATE SET source = excluded.source, \
    annotations = excluded.annotations, updated_at = excluded.updated_at";

pub(in crate::store) const INDEX: &str = "SELECT answer FROM indexes WHERE digest = $1";
pub(in crate::store) const UPSERT_INDEX: &str = "INSERT INTO indexes (digest, answer, created_at) \
    VALUES ($1, $2, $3) ON CONFLICT (digest) DO UPDATE SET answer = excluded.answer, \
    created_at = excluded.created_at";
pub(in crate::store) const DELETE_SURPLUS_INDEXES: &str = "DELETE FROM indexes WHERE digest IN \
    (SELECT digest FROM indexes ORDER BY created_at DESC, digest LIMIT $2 OFFSET $1)";

pub(in crate::store) const CALL: &str = select_calls!("WHERE app_id = $1 AND id = $2");
pub(in crate::store) const CALLS_OF_APP: &str = select_calls!(
    "WHERE app_id = $1 AND id < $2 AND created_at > $3 AND created_at < $4 \
     AND ($6 = '' OR path = $6) ORDER BY id DESC LIMIT $5"
);
pub(in crate::store) const CALLS_OF_FN: &str = select_calls!(
    "WHERE fn_id = $1 AND id < $2 AND created_at > $3 AND created_at < $4 \
     ORDER BY id DESC LIMIT $5"
);
pub(in crate::store) const LOG: &str = "SELECT logs.log FROM calls \
    LEFT JOIN logs ON logs.call_id = calls.id WHERE calls.app_id = $1 AND calls.id = $2";
pub(in crate::store) const INSERT_CALLS: &str = "INSERT INTO calls \
    (id, app_id, fn_id, path, status, error, blame, created_at, started_at, completed_at) ";
pub(in crate::store) const UNLESS_RECORDED: &str = " ON CONFLICT (id) DO NOTHING";
pub(in crate::store) const INSERT_LOG: &str =
    "INSERT INTO logs (call_id, log) VALUES ($1, $2) ON CONFLICT (call_id) DO NOTHING";
pub(in crate::store) const DELETE_CALLS_OF_APP: &str = "DELETE FROM calls WHERE app_id = $1";
pub(in crate::store) const DELETE_OLD_CALLS: &str = "DELETE FROM calls WHERE id IN \
    (SELECT id FROM calls WHERE created_at < $1 ORDER BY created_at LIMIT $2)";
pub(in crate::store) const DELETE_SURPLUS_CALLS: &str = "DELETE FROM calls WHERE id IN \
    (SELECT id FROM calls ORDER BY id DESC LIMIT $2 OFFSET $1)";
