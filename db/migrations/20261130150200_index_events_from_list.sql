-- migrate:up transaction:false
-- Build the index without blocking writes. The file has a single statement, because Postgres runs several statements of one
-- request in a transaction, and this statement cannot run in one.
CREATE INDEX CONCURRENTLY events_from_list ON events (event_no) WHERE channel = 'api';

-- migrate:down
