-- migrate:up transaction:false
-- Build the index without blocking writes. The file has a single statement, because Postgres runs several statements of one
-- request in a transaction, and this statement cannot run in one.
CREATE INDEX CONCURRENTLY charges_from_list ON charges (paid_at) WHERE channel = 'api';

-- migrate:down
