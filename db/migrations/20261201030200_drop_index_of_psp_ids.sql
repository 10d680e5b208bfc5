-- squawk-disable-assume-in-transaction
-- squawk-ignore-file require-lock-timeout, require-statement-timeout
-- migrate:up transaction:false
-- The index charges_psp_id is not needed. Searches by psp_id use the index one_charge_per_billing_period, whose first column is
-- psp_id.
DROP INDEX CONCURRENTLY IF EXISTS charges_psp_id;

-- migrate:down
