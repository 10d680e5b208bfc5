"""
Read the Telegram usernames, `t.me` links and Telegram ids in a text.

A supporter can write any name, so a mention only adds a candidate to the operator's card. It never matches a charge.
"""

import re
from dataclasses import dataclass
from itertools import islice

from coffee_ledger.codes import drop_older_forms
from coffee_ledger.model import TelegramId
from coffee_ledger.plaintext import TEXT_LENGTH_MAX, drop_invisible, undo_escapes

MENTIONS_MAX = 10
"""The maximum number of usernames, and of ids, read from a text. This limit bounds the size of the database query."""

# Telegram's rules, as in `is_allowed_username` of TDLib: a username begins with a letter and does not end with an underscore. It
# has at least five characters, or four if it is a collectible username. The pattern also accepts one or two underscores
# after the username, as in `__@olena__`. They are not part of it.
# Source: https://github.com/tdlib/td, td/telegram/misc.cpp; https://core.telegram.org/api/fragment
_NAME = r"([a-z][a-z0-9_]{2,30}[a-z0-9])_{0,2}(?![\w@])(?![.-]\w)"
_AT_NAME = re.compile(rf"(?<![^\W_])(?<![.+@/-])@{_NAME}")
_LINKED_NAME = re.compile(
    rf"(?<![\w.@-])(?:www\.)?(?:t\.me|telegram\.(?:me|dog))\\?/(?:s/)?@?{_NAME}"
    rf"|\btg:(?://)?resolve\?(?:[^\s#]{{0,100}}&)?domain={_NAME}"
)
_HOST_NAME = re.compile(r"(?<![\w.@-])([a-z][a-z0-9_]{2,30}[a-z0-9])\.t\.me(?![\w.-]*\w)")
_LINKED_ID = re.compile(r"\btg:(?://)?(?:user\?id|openmessage\?user_id)=([1-9][0-9]{0,14})(?![0-9])")
_PATHS_OF_TELEGRAM = re.compile(
    "joinchat|addstickers|addemoji|addtheme|addlist|share|login|invoice|proxy|socks|setlanguage|confirmphone|boost"
    "|contact|giftcode|nft|call|stories"
)
"""Telegram's own pages on t.me, such as `t.me/share`. Their names are not usernames."""

_SIX_DIGITS = re.compile("[0-9]{6}")
_PHONE = re.compile(r"\+\s?[0-9][0-9 ()./-]{4,25}")
_ID = re.compile(
    r"(?:(?<![\w.,/+#@$€£₴₽-])|(?<![^\W_])(?:id|ід|ид)[-_#]?)"
    r"([1-9][0-9]{5,14})"
    r"(?![\w%$€£₴₽@])(?![.,:/-]\w)"
)


@dataclass(frozen=True)
class Mentions:
    """The Telegram users that a text mentions. The users may not exist, and the writer of the text may be none of them."""

    usernames: frozenset[str] = frozenset()
    """The usernames, in lower case and without the @."""
    telegram_ids: frozenset[TelegramId] = frozenset()


def read_mentions(text: str) -> Mentions:
    """
    Read usernames such as `@olena_k`, links to users, and Telegram ids (numbers of 6 to 15 digits, also in `tg://user?id=…`).

    Ignore e-mail addresses, invitation links, phone numbers, sums of money, and payment ids such as `42_1700000000`.
    """
    plain = drop_invisible(undo_escapes(text[:TEXT_LENGTH_MAX])).lower()
    return Mentions(
        usernames=frozenset(islice(dict.fromkeys(_read_usernames(plain)), MENTIONS_MAX)),
        telegram_ids=frozenset(islice(dict.fromkeys(_read_ids(plain)), MENTIONS_MAX)),
    )


def _read_usernames(text: str) -> list[str]:
    # Look for these short strings first, because the regular expressions take longer and most texts mention no user.
    if not any(sign in text for sign in ("@", "t.me", "telegram.", "tg:")):
        return []
    found = [match for pattern in (_AT_NAME, _LINKED_NAME, _HOST_NAME) for match in pattern.finditer(text)]
    names = [next(filter(None, match.groups())) for match in found]
    return [name for name in names if not _PATHS_OF_TELEGRAM.fullmatch(name)]


def _read_ids(text: str) -> list[TelegramId]:
    if "tg:" not in text and not _SIX_DIGITS.search(text):
        return []
    linked = _LINKED_ID.findall(text)
    prose = " ".join("|" if "://" in word or "@" in word else word for word in text.split())
    alone = _ID.findall(_PHONE.sub(" ", drop_older_forms(prose)))
    return [TelegramId(int(digits)) for digits in (*linked, *alone)]
