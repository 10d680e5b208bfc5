-- The roles, and the privileges that belong to the server and to the database as a whole. A dump of the database contains neither.
-- The service `migrate` runs this file at every start, before the schema is created or changed. So a role that a later release
-- adds is created, and a database that was restored from a dump gets these privileges again. The file has no effect if nothing
-- is missing.
-- `migrate` then limits the connections of each role (services/migrate/connections.py).
--
-- The role ledger_owner, which runs this file, is not created here: it is the superuser that the image of Postgres creates. A
-- provider of a managed Postgres gives its customers no superuser. There, this file skips the attributes and settings of a
-- role if ledger_owner may not change the role.

DO $$
DECLARE
    wanted record;
    setting text;
BEGIN
    FOR wanted IN
        SELECT *
          FROM (VALUES
              ('webhook', 'LOGIN', ARRAY[
                  'statement_timeout = ''10s''', 'idle_in_transaction_session_timeout = ''30s'''
              ]),
              ('bot', 'LOGIN', ARRAY[
                  'statement_timeout = ''10s''', 'idle_in_transaction_session_timeout = ''30s'''
              ]),
              ('janitor', 'LOGIN', ARRAY[
                  'statement_timeout = ''60s''', 'idle_in_transaction_session_timeout = ''30s'''
              ]),
              ('watcher', 'LOGIN', ARRAY[
                  'statement_timeout = ''5s''', 'default_transaction_read_only = on', 'search_path = measuring'
              ]),
              ('grafana_reader', 'LOGIN', ARRAY[
                  'statement_timeout = ''5s''', 'default_transaction_read_only = on'
              ]),
              ('spender', 'NOLOGIN', ARRAY[]::text [])
          ) AS roles (role, attributes, settings)
    LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted.role) THEN
            EXECUTE format('CREATE ROLE %I', wanted.role);
        END IF;
        BEGIN
            EXECUTE format('ALTER ROLE %I %s', wanted.role, wanted.attributes);
            FOREACH setting IN ARRAY wanted.settings LOOP
                EXECUTE format('ALTER ROLE %I SET %s', wanted.role, setting);
            END LOOP;
        EXCEPTION WHEN insufficient_privilege THEN
            RAISE WARNING 'role % cannot be changed, so its limits are those that it was created with', wanted.role;
        END;
    END LOOP;
END
$$;

DO $$
BEGIN
    COMMENT ON ROLE spender IS 'For other bots: GRANT spender TO your_role allows it to read balances and to call spend_credits.';
    -- The metrics exporter connects with the role watcher. This role can read statistics of the server, but no table of the
    -- product.
    GRANT pg_monitor TO watcher;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'the roles spender and watcher cannot be completed: %', SQLERRM;
END
$$;

-- Only the owner and the roles in the GRANT CONNECT statement may connect to this database. The granted roles cannot connect
-- to any other database, and cannot create tables. This restriction includes temporary tables, because they could fill the disk
-- and hold back VACUUM.
DO $$
DECLARE
    other name;
BEGIN
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM public', current_database());
    EXECUTE format(
        'GRANT CONNECT ON DATABASE %I TO webhook, bot, janitor, watcher, grafana_reader, spender', current_database()
    );
    FOR other IN
        SELECT datname
          FROM pg_database
         WHERE datname IN ('postgres', 'template1') AND pg_has_role(current_user, datdba, 'member')
    LOOP
        EXECUTE format('REVOKE ALL ON DATABASE %I FROM public', other);
    END LOOP;
END
$$;

-- Forbid two kinds of functions that every role may call by default. Functions for large objects could fill the disk. Functions
-- that take advisory locks could fill the lock table that all sessions share. The functions that release advisory locks stay
-- allowed, because database drivers call them when a connection returns to its pool.
DO $$
DECLARE
    refused regprocedure [] := ARRAY(
        SELECT oid
          FROM pg_proc
         WHERE pronamespace = 'pg_catalog'::regnamespace
           AND proname ~ '^(lo_|loread|lowrite|pg_(try_)?advisory_(xact_)?lock)'
           AND has_function_privilege('public', oid, 'execute')
    );
    one regprocedure;
BEGIN
    IF cardinality(refused) > 0 AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        RAISE WARNING 'every role may create large objects and take advisory locks, because only a superuser can revoke this';
        RETURN;
    END IF;
    FOREACH one IN ARRAY refused LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM public', one);
    END LOOP;
END
$$;
