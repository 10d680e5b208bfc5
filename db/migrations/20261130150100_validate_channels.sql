-- migrate:up
SET LOCAL lock_timeout = '2s';
SET LOCAL statement_timeout = '60s';

-- Validate the checks apart from the statements that added them, because the validation reads the whole table and allows writes.
ALTER TABLE events VALIDATE CONSTRAINT channel_is_known;
ALTER TABLE charges VALIDATE CONSTRAINT channel_is_known;

-- migrate:down
