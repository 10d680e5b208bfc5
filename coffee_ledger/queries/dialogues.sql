-- Statements for dialogues. A dialogue is the question that a user must answer next, and the user's answers so far.

-- name: find_dialogue
-- Find a user's dialogue. Returns no row if the dialogue was last updated before $2. So the bot does not treat a message as an
-- answer if the message comes long after the question.
-- $1 Telegram id, $2 time
SELECT state, answers, updated_at FROM dialogues WHERE telegram_id = $1 AND updated_at > $2;

-- name: ask_next!
-- $1 Telegram id, $2 state, $3 now
INSERT INTO dialogues (telegram_id, state, updated_at)
VALUES ($1, $2, $3)
ON CONFLICT (telegram_id) DO UPDATE SET state = excluded.state, updated_at = excluded.updated_at;

-- name: store_answers!
-- Store the user's answers. Changes nothing if the user has no dialogue.
-- $1 Telegram id, $2 answers, $3 now
UPDATE dialogues SET answers = $2::jsonb, updated_at = $3 WHERE telegram_id = $1;

-- name: end_dialogue!
-- $1 Telegram id
DELETE FROM dialogues WHERE telegram_id = $1;
