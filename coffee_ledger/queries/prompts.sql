-- Statements for the bot's questions to operators. An operator answers a question by writing a text.

-- name: open_prompt
-- Store a question. If the same question is already open, only set its asked_at to now.
-- $1 operator, $2 kind, $3 number of the charge, claim, event or entry that the question is about, $4 now
INSERT INTO prompts (telegram_id, kind, number, asked_at)
VALUES ($1, $2, $3, $4)
ON CONFLICT (telegram_id, kind, number) DO UPDATE SET asked_at = excluded.asked_at;

-- name: forget_prompts
-- $1 operator, $2 asked before this time
DELETE FROM prompts WHERE telegram_id = $1 AND asked_at < $2;

-- name: find_prompts
-- Find the open questions to an operator, the newest first.
-- $1 operator, $2 asked after this time
SELECT kind, number, asked_at FROM prompts WHERE telegram_id = $1 AND asked_at > $2 ORDER BY asked_at DESC, kind ASC, number ASC;

-- name: close_prompts
-- Delete questions of the kinds $2 about one charge, claim, event or entry. A question that was asked after the time $4 stays.
-- $1 operator, $2 kinds, $3 number of the charge, claim, event or entry, $4 time
DELETE FROM prompts WHERE telegram_id = $1 AND kind = ANY($2::text []) AND number = $3 AND asked_at <= $4;
