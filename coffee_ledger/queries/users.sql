-- Statements about users.

-- name: meet_user
-- Insert or update a user. Returns the language, whether the user was erased before, and whether the user can be reached again.
-- An erased user is stored again only if the user did something ($4). For example, $4 is false if an open page of the Mini App
-- sent the request by itself.
-- $1 Telegram id, $2 the language that Telegram reports, $3 username or null, $4 whether the user did something
-- $5 whether the user wrote in the chat, which proves that the user can be reached
WITH before AS (
    SELECT language, unreachable_at, erased_at FROM users WHERE telegram_id = $1
), met AS (
    INSERT INTO users AS known (telegram_id, language, username)
    VALUES ($1, $2, $3)
    ON CONFLICT (telegram_id) DO UPDATE
    SET language = CASE WHEN known.language_chosen THEN known.language ELSE excluded.language END,
        username = excluded.username,
        unreachable_at = CASE WHEN $5 OR known.erased_at IS NOT NULL THEN NULL ELSE known.unreachable_at END,
        erased_at = NULL
    WHERE ($4 OR known.erased_at IS NULL)
      AND (
          (known.username, known.erased_at) IS DISTINCT FROM (excluded.username, NULL)
          OR ($5 AND known.unreachable_at IS NOT NULL)
          OR (known.language <> excluded.language AND NOT known.language_chosen)
      )
    RETURNING language
)
SELECT coalesce(
           (SELECT met.language FROM met),
           (SELECT before.language FROM before WHERE before.erased_at IS NULL),
           $2
       ) AS language,
       EXISTS (SELECT FROM met) AND EXISTS (SELECT FROM before WHERE before.erased_at IS NOT NULL) AS was_erased,
       -- is_back is true for a user who was unreachable, and for a user who had no row. The caller then queues the user's
       -- undelivered messages again. An operator who presses Start for the first time has no row, but may have undelivered
       -- messages.
       $5 AND EXISTS (SELECT FROM met) AND NOT EXISTS (SELECT FROM before WHERE before.unreachable_at IS NULL) AS is_back;

-- name: choose_language
-- Set a user's language. If $3 is true, a language that Telegram reports later does not replace the chosen language.
-- $1 Telegram id, $2 language, $3 whether the user chose the language
UPDATE users SET language = $2, language_chosen = $3 WHERE telegram_id = $1;

-- name: erase_user
-- $1 Telegram id
SELECT erase_user($1);

-- name: mark_unreachable
-- $1 Telegram id, $2 now
UPDATE users SET unreachable_at = $2 WHERE telegram_id = $1 AND unreachable_at IS NULL;

-- name: mark_reachable
-- Record that a user can be reached again. Returns no row if the user could be reached before, or asked to be erased.
-- $1 Telegram id
UPDATE users SET unreachable_at = NULL WHERE telegram_id = $1 AND unreachable_at IS NOT NULL AND erased_at IS NULL
RETURNING telegram_id;
