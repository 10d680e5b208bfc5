"""
Read the settings from the environment, once, and say in one line each what is wrong with them.

A service declares the settings it needs as a subclass of `Settings`; those that several need stand here.
"""

import re
import unicodedata
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, TypeAlias, TypeVar
from urllib.parse import unquote

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from coffee_ledger.errors import LedgerError
from coffee_ledger.matching import Rules
from coffee_ledger.model import Rates

PAIR = re.compile(r"([A-Za-z0-9_.-]+)\s*=\s*([ !#-+\--:<-\[\]-~]+)")


REFUSED = "refused"


class SettingsError(LedgerError):
    """Settings are missing or malformed; *problems* has a line for each, without its value."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class Settings(BaseModel):
    """What every process needs. A field is named as its variable; its description says what to write."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    DATABASE_URL: Annotated[SecretStr, Field(description="postgresql://ROLE:PASSWORD@HOST:5432/DATABASE")]
    HEALTH_PORT: Annotated[
        int, Field(default=9000, ge=1, le=65535, description="a free port for /healthz and /metrics")
    ]
    REVISION: Annotated[str, Field(default="unknown", max_length=64, description="what the image was built from")]
    LOG_LEVEL: Annotated[
        str, Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="DEBUG, INFO, WARNING or ERROR")
    ]
    OTEL_EXPORTER_OTLP_ENDPOINT: Annotated[
        str | None,
        Field(default=None, pattern=r"^https?://\S+$", description="http://tempo:4318, or nothing to make no traces"),
    ]
    OTEL_EXPORTER_OTLP_HEADERS: Annotated[
        dict[str, SecretStr] | None,
        Field(default=None, description="name=value, with commas between, and odd signs in the form %2C"),
    ]
    OTEL_RESOURCE_ATTRIBUTES: Annotated[
        dict[str, str] | None,
        Field(default=None, description="name=value, with commas between, and odd signs in the form %2C"),
    ]
    OTEL_SDK_DISABLED: Annotated[
        str, Field(default="false", pattern="^(?i:true|false)$", description="true to make no traces, or false")
    ]
    OTEL_TRACES_SAMPLER: Annotated[
        str,
        Field(
            default="parentbased_traceidratio",
            pattern="^(parentbased_)?(always_on|always_off|traceidratio)$",
            description="parentbased_traceidratio, or another sampler of OpenTelemetry's",
        ),
    ]
    OTEL_TRACES_SAMPLER_ARG: Annotated[
        float, Field(default=1.0, ge=0, le=1, description="the share of traces to keep, from 0 to 1")
    ]

    @field_validator("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_RESOURCE_ATTRIBUTES", mode="before")
    @classmethod
    def _read_pairs(cls, text: object) -> object:
        return parse_pairs(text)

    @property
    def traces_to(self) -> str | None:
        """Where traces go; None where none are made."""
        return None if self.OTEL_SDK_DISABLED.lower() == "true" else self.OTEL_EXPORTER_OTLP_ENDPOINT


Known = TypeVar("Known", bound=Settings)


def read_settings(kind: type[Known], environ: Mapping[str, str]) -> Known:
    """
    Read each setting from NAME, or from the file that NAME_FILE names; an empty one counts as missing.

    Raises:
        SettingsError: With a line for each that is missing or malformed.
    """
    values, problems = _collect(kind, environ)
    try:
        settings = kind.model_validate(values)
    except ValidationError as error:
        for one in error.errors():
            name = str(one["loc"][0])
            problems.setdefault(name, _line(name, one, kind, is_set=name in values))
        raise SettingsError(_lines(problems)) from None  # the original repeats the values
    if problems:
        raise SettingsError(_lines(problems))
    return settings


def _collect(kind: type[Settings], environ: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the values that were found and the problems there were in finding others, both by the setting's name."""
    values: dict[str, str] = {}
    problems: dict[str, str] = {}
    for name in kind.model_fields:
        value, path = environ.get(name, "").strip(), environ.get(f"{name}_FILE", "").strip()
        if value and path:
            problems[name] = f"{name} and {name}_FILE are both set: keep one of them"
        elif path:
            try:
                value = Path(path).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
                problems[name] = f"{name}_FILE: {path} cannot be read ({why}): check the path and who may read it"
        if value:
            values[name] = value
    return values, problems


def _line(name: str, error: ErrorDetails, kind: type[Settings], *, is_set: bool) -> str:
    write = kind.model_fields[name].description
    if error["type"] == REFUSED:
        return f"{name} {error['msg']}: write {error['ctx']['write'] or write}"
    return f"{name} {'is malformed' if is_set else 'is missing'}: write {write}"


def _lines(problems: Mapping[str, str]) -> list[str]:
    return [problems[name] for name in sorted(problems)]


def refuse_value(fault: str, *, write: str | None = None) -> PydanticCustomError:
    """
    Return the error for a well-formed value that must not be used. *fault* follows the setting's name.

    *write* says what to write instead; by default the setting's description does. Neither repeats a value that is secret.
    """
    return PydanticCustomError(REFUSED, "{fault}", {"fault": fault, "write": write})


def refuse_unicode(host: object) -> object:
    """Refuse an international name in its readable form: certificates, Telegram and headers carry its punycode form."""
    if isinstance(host, str) and not host.isascii() and (punycode := to_punycode(host)):
        raise refuse_value("is an international name", write=f"its punycode form, {punycode}")
    return host


def to_punycode(host: str) -> str | None:
    """Write an international name in ASCII: `кава.укр` becomes `xn--80aaf4a.xn--j1amh`. None if it is not a name."""
    labels = re.split("[.。]", unicodedata.normalize("NFKC", host).lower())
    if not all(re.fullmatch(r"[\w-]+", label) for label in labels):
        return None
    return ".".join(label if label.isascii() else f"xn--{label.encode('punycode').decode('ascii')}" for label in labels)


PublicHost: TypeAlias = Annotated[
    str,
    BeforeValidator(refuse_unicode),
    Field(
        pattern=r"^[A-Za-z0-9.-]+$",
        description="the name under which this machine is reached, such as pay.example.org",
    ),
]


def parse_rates(text: object) -> object:
    """Read `USD=100,EUR=110`: credits for one unit of each currency."""
    if not isinstance(text, str):
        return text
    rates: dict[str, Decimal] = {}
    for part in text.split(","):
        currency, _, rate = (piece.strip() for piece in part.partition("="))
        if not re.fullmatch("[A-Z]{3,10}", currency) or currency in rates:
            raise ValueError("not a currency, or named twice")
        rates[currency] = parse_positive(rate)
    return rates


def parse_positive(text: str) -> Decimal:
    """Read a decimal number above zero, below a billion."""
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        raise ValueError("not a number") from None
    if not number.is_finite() or not 0 < number < 10**9:
        raise ValueError("not above zero")
    return number


def parse_list(text: object) -> object:
    """Read a comma-separated list; blanks around its parts do not count."""
    return [part.strip() for part in text.split(",") if part.strip()] if isinstance(text, str) else text


def parse_pairs(text: object) -> object:
    """
    Read `name=value,name=value`, as OpenTelemetry writes headers and attributes.

    No more is taken than it takes itself: it reads the environment as well, and logs what it cannot read, a key among it.
    """
    if not isinstance(text, str):
        return text
    pairs: dict[str, str] = {}
    for part in text.split(","):
        pair = PAIR.fullmatch(part.strip())
        if pair is None:
            raise ValueError("not a name and a value")
        pairs[pair[1]] = unquote(pair[2])
    return pairs


def parse_switch(text: object) -> object:
    """Read `on` or `off`."""
    if isinstance(text, str):
        switch = {"on": True, "off": False}.get(text.lower())
        if switch is None:
            raise ValueError("neither on nor off")
        return switch
    return text


class MatchingSettings(Settings):
    """What decides to whom a charge belongs and what it is worth."""

    CREDITS_PER_UNIT: Annotated[
        dict[str, Decimal],
        BeforeValidator(parse_rates),
        Field(description="the credits for one unit of each currency you take, such as USD=100,EUR=110"),
    ]
    FALLBACK_MATCH: Annotated[bool, BeforeValidator(parse_switch), Field(default=True, description="on or off")]
    FALLBACK_WINDOW_MINUTES: Annotated[
        int, Field(default=60, ge=1, le=1440, description="a whole number of minutes from 1 to 1440")
    ]

    @property
    def rules(self) -> Rules:
        return Rules(
            rates=Rates(self.CREDITS_PER_UNIT),
            fallback=self.FALLBACK_MATCH,
            fallback_window=timedelta(minutes=self.FALLBACK_WINDOW_MINUTES),
        )
