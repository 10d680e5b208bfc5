-- migrate:up
SET LOCAL lock_timeout = '2s';
SET LOCAL statement_timeout = '60s';

-- Validate the checks in a separate migration. The validation reads whole tables but allows writes. In the migration that added
-- the checks, the locks of ALTER TABLE would block writes during the validation.
ALTER TABLE events VALIDATE CONSTRAINT channel_is_known;
ALTER TABLE charges VALIDATE CONSTRAINT channel_is_known;

-- migrate:down
