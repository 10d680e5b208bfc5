"""
Read the settings from the environment once, and report each wrong setting in one line.

A service declares its settings as a subclass of `Settings`. Settings that several services use are declared here.
`make settings` generates the table of settings and `.env.example` from the fields. An error message ends with the `description`
of the field: "NAME is missing: write *description*". If a field has an example, `.env.example` contains the example instead of
the default.
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
    """
    Settings are missing or malformed.

    *problems* has one line for each wrong setting. The line does not contain the value of the setting, which may be secret.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class Settings(BaseModel):
    """The settings that every process has. The name of a field is the name of its environment variable."""

    # Hide the values in the error messages of pydantic, because a value may be a secret.
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    DATABASE_URL: Annotated[
        SecretStr,
        Field(
            description="the address of the database, postgresql://ROLE:PASSWORD@HOST:5432/DATABASE",
            json_schema_extra={
                "note": "Each service has its own role and password. Compose generates the passwords at the first start. "
                "HOST1:5432,HOST2:5432 names several servers; the service uses the one that accepts writes."
            },
        ),
    ]
    HEALTH_PORT: Annotated[
        int,
        Field(
            default=9000,
            ge=1,
            le=65535,
            description="a free port for /healthz and /metrics",
            json_schema_extra={"note": "The proxy does not lead to it."},
        ),
    ]
    REVISION: Annotated[
        str,
        Field(
            default="unknown",
            max_length=64,
            description="the revision of the source that the image is built from, at most 64 characters",
            json_schema_extra={"note": "The metric ledger_build_info shows it."},
        ),
    ]
    LOG_LEVEL: Annotated[
        str,
        Field(
            default="INFO",
            pattern="^(DEBUG|INFO|WARNING|ERROR)$",
            description="the lowest level that is logged: DEBUG, INFO, WARNING or ERROR",
        ),
    ]
    OTEL_EXPORTER_OTLP_ENDPOINT: Annotated[
        str | None,
        Field(
            default=None,
            pattern=r"^https?://\S+$",
            description="the address that receives traces, such as http://tempo:4318, or nothing to disable tracing",
            json_schema_extra={"note": "http://tempo:4318 is the Tempo that COMPOSE_PROFILES=tracing starts."},
        ),
    ]
    OTEL_EXPORTER_OTLP_HEADERS: Annotated[
        dict[str, SecretStr] | None,
        Field(
            default=None,
            description="headers to send with traces: name=value, separated by commas, with special characters percent-encoded (%2C)",
            json_schema_extra={"note": "For example, the API key of another backend."},
        ),
    ]
    OTEL_RESOURCE_ATTRIBUTES: Annotated[
        dict[str, str] | None,
        Field(
            default=None,
            description="attributes of every span: name=value, separated by commas, with special characters percent-encoded (%2C)",
            json_schema_extra={"note": "For example, deployment.environment.name=production."},
        ),
    ]
    OTEL_SDK_DISABLED: Annotated[
        str,
        Field(
            default="false",
            pattern="^(?i:true|false)$",
            description="a switch, true or false; true disables tracing in the services, even with an endpoint",
        ),
    ]
    OTEL_TRACES_SAMPLER: Annotated[
        str,
        Field(
            default="parentbased_traceidratio",
            pattern="^(parentbased_)?(always_on|always_off|traceidratio)$",
            description="the sampler of OpenTelemetry that selects the traces to keep: always_on, always_off or traceidratio, "
            "each also with parentbased_ in front",
        ),
    ]
    OTEL_TRACES_SAMPLER_ARG: Annotated[
        float, Field(default=1.0, ge=0, le=1, description="the share of traces that traceidratio keeps, from 0 to 1")
    ]

    @field_validator("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_RESOURCE_ATTRIBUTES", mode="before")
    @classmethod
    def _read_pairs(cls, text: object) -> object:
        return parse_pairs(text)

    @property
    def traces_to(self) -> str | None:
        """Return the address that receives traces, or None if tracing is off."""
        return None if self.OTEL_SDK_DISABLED.lower() == "true" else self.OTEL_EXPORTER_OTLP_ENDPOINT


AnySettings = TypeVar("AnySettings", bound=Settings)


def read_settings(kind: type[AnySettings], environ: Mapping[str, str]) -> AnySettings:
    """
    Read each setting from NAME, or from the file whose path is in NAME_FILE. An empty setting counts as missing.

    Raises:
        SettingsError: Settings are missing or malformed.
    """
    values, problems = _collect(kind, environ)
    try:
        settings = kind.model_validate(values)
    except ValidationError as error:
        for one in error.errors():
            name = str(one["loc"][0])
            # If `_collect` found a problem of this setting, keep the message of `_collect`, because it is more precise than
            # pydantic's. For example, if the file in NAME_FILE cannot be read, pydantic only reports that NAME is missing.
            problems.setdefault(name, _line(name, one, kind, is_set=name in values))
        # Do not chain pydantic's error to ours. Pydantic's error contains the values, which may be secret, and a chained error
        # is logged.
        raise SettingsError(_lines(problems)) from None
    if problems:
        raise SettingsError(_lines(problems))
    return settings


def _collect(kind: type[Settings], environ: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the values of the settings, and the problems that were found. The keys of both dicts are names of settings."""
    values: dict[str, str] = {}
    problems: dict[str, str] = {}
    for name in kind.model_fields:
        value, path = environ.get(name, "").strip(), environ.get(f"{name}_FILE", "").strip()
        if value and path:
            problems[name] = f"{name} and {name}_FILE are both set: keep one of them"
        elif path:
            try:
                # Remove the line break at the end of the file, because it is not part of the value.
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
    Return the error for a well-formed value that must not be used.

    *fault* says why the value is refused, and *write* says which value to write instead. An example of the message:
    "PUBLIC_HOST is an international name: write its punycode form, xn--80aaf4a.xn--j1amh". If *write* is None, the message ends
    with the description of the setting. *fault* and *write* must not contain a secret.
    """
    return PydanticCustomError(REFUSED, "{fault}", {"fault": fault, "write": write})


def refuse_unicode(host: object) -> object:
    """Refuse a host name that contains non-ASCII characters. Certificates, Telegram and HTTP headers need its punycode form."""
    if isinstance(host, str) and not host.isascii() and (punycode := to_punycode(host)):
        raise refuse_value("is an international name", write=f"its punycode form, {punycode}")
    return host


def to_punycode(host: str) -> str | None:
    """
    Convert an international name to ASCII: `кава.укр` becomes `xn--80aaf4a.xn--j1amh`.

    Return None if the text is not a host name.
    """
    # Normalise the name, because the codec `punycode` does not normalise its input. Also split the name at the full stop of
    # Chinese and Japanese (。).
    labels = re.split("[.。]", unicodedata.normalize("NFKC", host).lower())
    if not all(re.fullmatch(r"[\w-]+", label) for label in labels):
        return None
    return ".".join(label if label.isascii() else f"xn--{label.encode('punycode').decode('ascii')}" for label in labels)


PublicHost: TypeAlias = Annotated[
    str,
    BeforeValidator(refuse_unicode),
    Field(
        pattern=r"^[A-Za-z0-9.-]+$",
        description="the name under which this machine is reached from the internet, such as pay.example.org",
        json_schema_extra={
            "note": "The certificate is obtained automatically. Write an international name in its punycode form: "
            "xn--80aaf4a.xn--j1amh for кава.укр."
        },
    ),
]

PendingTtlHours: TypeAlias = Annotated[
    int,
    Field(
        default=24,
        ge=1,
        le=8760,
        description="the time that a pending payment stays open, as a whole number of hours from 1 to 8760",
        json_schema_extra={"note": "A later payment with its code still reaches its user."},
    ),
]

PROBE_SECRET_FIELD = Field(
    default=None,
    description="the secret that signs the janitor's probes, which must not be one of BMC_WEBHOOK_SECRETS",
    json_schema_extra={"note": "Only the janitor and the webhook know it. Compose generates it at the first start."},
)
"""
The field PROBE_SECRET in the settings of the webhook and of the janitor.

The two services declare this setting with two types, because only the webhook refuses a weak secret.
"""


def parse_rates(text: object) -> object:
    """Read the rates (the credits for one unit of each currency), for example `USD=100,EUR=110`."""
    if not isinstance(text, str):
        return text
    rates: dict[str, Decimal] = {}
    for part in text.split(","):
        currency, _, rate = (piece.strip() for piece in part.partition("="))
        # Accept at most ten letters, because the column `currency` of a pending payment cannot store more.
        if not re.fullmatch("[A-Z]{3,10}", currency) or currency in rates:
            raise ValueError("not a currency, or named twice")
        rates[currency] = parse_positive(rate)
    return rates


def parse_positive(text: str) -> Decimal:
    """Read a decimal number above zero and below a billion."""
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        raise ValueError("not a number") from None
    if not number.is_finite() or not 0 < number < 10**9:
        raise ValueError("not above zero")
    return number


def parse_list(text: object) -> object:
    """Read a comma-separated list. Remove the spaces around each part, and ignore empty parts."""
    return [part.strip() for part in text.split(",") if part.strip()] if isinstance(text, str) else text


def parse_pairs(text: object) -> object:
    """
    Read `name=value,name=value`, the format in which OpenTelemetry's variables contain headers and attributes.

    Refuse a pair that OpenTelemetry cannot parse. OpenTelemetry reads the same variables and would log the pair, which may
    contain an API key.
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
    """Read the value of a switch, `on` or `off`."""
    if isinstance(text, str):
        switch = {"on": True, "off": False}.get(text.lower())
        if switch is None:
            raise ValueError("neither on nor off")
        return switch
    return text


class MatchingSettings(Settings):
    """The settings that decide to which user a charge is matched, and how many credits the user gets for the charge."""

    CREDITS_PER_UNIT: Annotated[
        dict[str, Decimal],
        BeforeValidator(parse_rates),
        Field(
            description="the credits for one unit of each currency you take, such as USD=100,EUR=110",
            examples=["USD=100"],
            json_schema_extra={"note": "A payment in any other currency waits for an operator."},
        ),
    ]
    FALLBACK_MATCH: Annotated[
        bool,
        BeforeValidator(parse_switch),
        Field(
            default=True,
            description="a switch, on or off: match a payment without a code if exactly one open pending payment fits by "
            "amount and time",
        ),
    ]
    FALLBACK_WINDOW_MINUTES: Annotated[
        int,
        Field(
            default=60,
            ge=1,
            le=1440,
            description="the longest time between a user's request to pay and the payment that FALLBACK_MATCH matches to it, as a "
            "whole number of minutes from 1 to 1440",
        ),
    ]

    @property
    def rules(self) -> Rules:
        return Rules(
            rates=Rates(self.CREDITS_PER_UNIT),
            fallback=self.FALLBACK_MATCH,
            fallback_window=timedelta(minutes=self.FALLBACK_WINDOW_MINUTES),
        )
