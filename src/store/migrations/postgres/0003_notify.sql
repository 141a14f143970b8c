-- Tells every gateway on this database which app has changed: "<app id> <id of the writer>". The
-- writer is a setting of the session, so that a gateway can leave out what it did itself. It is a
-- trigger because it must not be possible to write without it, by hand or by an import.
CREATE FUNCTION kiln_app_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed JSONB := to_jsonb(COALESCE(NEW, OLD));
BEGIN
    PERFORM pg_notify(
        'kiln_apps',
        COALESCE(changed ->> 'app_id', changed ->> 'id')
            || ' ' || COALESCE(current_setting('kiln.writer', true), '')
    );
    RETURN NULL;
END
$$;

CREATE TRIGGER kiln_app_changed AFTER INSERT OR UPDATE OR DELETE ON apps
    FOR EACH ROW EXECUTE FUNCTION kiln_app_changed();
CREATE TRIGGER kiln_app_changed AFTER INSERT OR UPDATE OR DELETE ON routes
    FOR EACH ROW EXECUTE FUNCTION kiln_app_changed();
CREATE TRIGGER kiln_app_changed AFTER INSERT OR UPDATE OR DELETE ON fns
    FOR EACH ROW EXECUTE FUNCTION kiln_app_changed();
CREATE TRIGGER kiln_app_changed AFTER INSERT OR UPDATE OR DELETE ON triggers
    FOR EACH ROW EXECUTE FUNCTION kiln_app_changed();
