"""Texts in the user's language, from the Fluent files in `locales/`."""

import functools
import html
import re
from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

from babel.dates import format_date, format_datetime
from babel.numbers import format_currency, format_decimal, get_currency_symbol
from fluent.runtime import FluentBundle, FluentResource

from coffee_ledger.errors import LedgerError
from coffee_ledger.telegram.characters import show_safely

LOCALES = Path(__file__).parent / "locales"
LANGUAGES = ("en", "uk")
DEFAULT_LANGUAGE = "en"
TIME_FORMAT = "Dt"
"""Telegram's format with the date in words, followed by hours and minutes."""


class TextError(LedgerError):
    """The text with the id *text* is missing in a language, or it needs a value that was not given."""

    def __init__(self, language: str, text: str) -> None:
        super().__init__(f"{language}: {text}")
        self.language = language
        self.text = text


class Html(str):
    """A value that is already HTML, so `Speech.say` does not escape it."""

    __slots__ = ()


class Speech:
    """The texts of one language."""

    def __init__(self, language: str) -> None:
        self.language = language
        # Disable the invisible Unicode marks around values, because people would copy these marks together with a code.
        self._bundle = FluentBundle([language], use_isolating=False)
        for texts in sorted((LOCALES / language).glob("*.ftl")):
            self._bundle.add_resource(FluentResource(texts.read_text(encoding="utf-8")))

    def say(self, text: str, **values: str | int) -> str:
        """
        Return the text with the id *text* and the given values, as HTML for Telegram.

        The values are escaped, and invisible characters that could reorder or hide the text are removed from them.

        Raises:
            TextError: No text has this id, or the text needs a value that was not given.
        """
        if not self._bundle.has_message(text):
            raise TextError(self.language, text)
        safe = {name: _escape(value) if isinstance(value, str) else value for name, value in values.items()}
        pattern = self._bundle.get_message(text).value
        said, errors = self._bundle.format_pattern(pattern, safe) if pattern else ("", ["empty"])
        if errors:
            raise TextError(self.language, text)
        return self._with_minus_signs(str(said), values.values())

    def _with_minus_signs(self, said: str, values: Iterable[str | int]) -> str:
        """Replace the hyphen of negative numbers by a minus sign. Fluent writes a hyphen, and a line may break at a hyphen."""
        for value in values:
            if isinstance(value, int) and value < 0:
                digits = self.number(-value)
                said = said.replace(f"-{digits}", f"\N{MINUS SIGN}{digits}")
        return said

    def word(self, kind: str, word: str) -> str:
        """
        Return the text with the id `{kind}-{word}` as plain text (see `label`), to fill it into another text. If there is no
        such text, return *word* itself.

        Use this method for words from the database. A word may have no text if a newer version stored it before a rollback.
        """
        text = f"{kind}-{word}"
        return self.label(text) if self._bundle.has_message(text) else word

    def label(self, text: str, **values: str | int) -> str:
        """Like `say`, but return plain text for a button, a command or an alert: remove HTML tags, and decode escapes."""
        return html.unescape(re.sub("<[^>]+>", "", self.say(text, **values)))

    def money(self, amount: Decimal, currency: str) -> str:
        """
        Format an amount of money by the rules of the language.

        Whole amounts have no cents. A currency that is shown in letters is separated from the digits by a space.
        """
        number = "#,##0" if amount == amount.to_integral_value() else "#,##0.00"
        sign = get_currency_symbol(currency, locale="en")
        if len(sign) == 1:
            # Put the symbol before the number in every language, as Buy Me a Coffee does. The Ukrainian locale would give "5
            # USD".
            return sign + format_decimal(amount, format=number, locale=self.language)
        blank = "\N{NO-BREAK SPACE}" if get_currency_symbol(currency, locale=self.language)[-1:].isalpha() else ""
        pattern = f"{number}\N{NO-BREAK SPACE}¤" if self.language == "uk" else f"¤{blank}{number}"
        # With `currency_digits=False`, Babel uses the number of decimals in the pattern, not the usual number for the currency.
        return format_currency(amount, currency, format=pattern, locale=self.language, currency_digits=False)

    def rate(self, per_unit: Decimal, currency: str) -> str:
        """Return the rate in the smallest whole numbers. For example, 0.5 credits for one dollar is "$2 = 1 credit"."""
        credits, amount = per_unit.as_integer_ratio()
        return self.say("rate", one=self.money(Decimal(amount), currency), credits=credits)

    def number(self, number: int) -> str:
        return format_decimal(number, format="#,##0;\N{MINUS SIGN}#,##0", locale=self.language)

    def change(self, credits: int) -> str:
        """Format a change of credits with a plus or minus sign."""
        return format_decimal(credits, format="+#,##0;\N{MINUS SIGN}#,##0", locale=self.language)

    def new_balance(self, balance: int | None) -> Html:
        """
        Return a space and a sentence with the new balance.

        Return an empty text if *balance* is None, because another bot then keeps the balances.
        """
        return Html("" if balance is None else " " + self.say("you-now-have", credits=balance))

    def day(self, day: date) -> str:
        return format_date(day, "d MMMM", locale=self.language)

    def time(self, time: datetime) -> Html:
        """
        Write a time that Telegram shows in the reader's own time zone. Clients without this feature show the time in UTC.

        Source: https://core.telegram.org/bots/api#date-time-entity-formatting, read November 2026.
        """
        fallback = format_datetime(time, "d MMM y, HH:mm 'UTC'", locale=self.language)
        return Html(f'<tg-time unix="{int(time.timestamp())}" format="{TIME_FORMAT}">{fallback}</tg-time>')


def _escape(value: str) -> str:
    return value if isinstance(value, Html) else html.escape(show_safely(value))


@functools.cache
def speech(language: str) -> Speech:
    return Speech(language)


def language_of(language_code: str | None) -> str:
    """Return `uk` if the IETF language tag that Telegram sends is Ukrainian. Return `en` for any other tag and for None."""
    return "uk" if (language_code or "").lower().partition("-")[0] == "uk" else DEFAULT_LANGUAGE
