-- migrate:up
SET LOCAL lock_timeout = '2s';
SET LOCAL statement_timeout = '60s';

-- Of several janitors, only the one that holds the lease `upkeep` runs the tasks that change data.
GRANT SELECT, INSERT, UPDATE (holder, ends_at) ON leases TO janitor;
COMMENT ON TABLE leases
IS 'The holder of each lease alone does one kind of work: sending, handing_over, writing_receipts and polling (bots), upkeep (janitors).';

-- migrate:down
