"""Read the sandbox's settings once from the environment."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from yarl import URL

from sandbox.relay import Address

Value = TypeVar("Value")


class SettingError(Exception):
    """The setting *name* is missing or invalid; *advice* says how to correct it."""

    def __init__(self, name: str, advice: str) -> None:
        super().__init__(f"{name} {advice}")
        self.name = name
        self.advice = advice


@dataclass(frozen=True, kw_only=True)
class Settings:
    bot_token: str = field(repr=False)
    bmc_secret: str = field(repr=False)
    webhook_url: URL
    webhook_host: str
    script_url: URL
    retry_seconds: float = 2.0
    # Listen on all addresses, because other containers call the sandbox. Compose publishes the port only on the loopback address.
    host: str = "0.0.0.0"  # noqa: S104 — see above
    port: int = 8090
    # The sandbox records people and the bot's messages in this file, and reads the people from the file when it starts again.
    # If None, the sandbox records nothing.
    record: Path | None = None
    # The sandbox delays each answer of the Bot API by this time.
    answer_seconds: float = 0.0
    # The token of BMC's API. If empty, the sandbox generates a token.
    bmc_api_token: str = field(default="", repr=False)
    # The address of the database. The sandbox listens on the port of this address, and forwards connections to the database.
    # If None, the sandbox forwards no connections.
    database: Address | None = None
    # A second port for the bot's calls. To simulate a disconnected bot, the demo cuts the connections to this port. If None,
    # the bot uses `port`.
    telegram_port: int | None = None


def read_settings(environ: Mapping[str, str]) -> Settings:
    webhook_url = _read(environ, "SANDBOX_WEBHOOK_URL", _url)
    return Settings(
        bot_token=_read(environ, "SANDBOX_BOT_TOKEN", _token),
        bmc_secret=_read(environ, "SANDBOX_BMC_SECRET", str),
        webhook_url=webhook_url,
        webhook_host=_read(environ, "SANDBOX_WEBHOOK_HOST", str, default=webhook_url.host or ""),
        script_url=_read(environ, "SANDBOX_SCRIPT_URL", _url, default="https://telegram.org/js/telegram-web-app.js"),
        retry_seconds=_read(environ, "SANDBOX_RETRY_SECONDS", _seconds, default="2"),
        host=_read(environ, "SANDBOX_HOST", str, default="0.0.0.0"),  # noqa: S104 — other containers call the sandbox
        port=_read(environ, "SANDBOX_PORT", _port, default="8090"),
        answer_seconds=_read(environ, "SANDBOX_ANSWER_SECONDS", _seconds, default="0"),
        bmc_api_token=_raw(environ, "SANDBOX_BMC_API_TOKEN"),
        database=_read(environ, "SANDBOX_DATABASE", _address, default="none"),
        telegram_port=_read(environ, "SANDBOX_TELEGRAM_PORT", _optional_port, default="none"),
        record=Path(record) if (record := environ.get("SANDBOX_RECORD", "").strip()) else None,
    )


def _read(environ: Mapping[str, str], name: str, parse: Callable[[str], Value], *, default: str | None = None) -> Value:
    raw = _raw(environ, name) or default
    if raw is None:
        raise SettingError(name, f"is missing: set it, or {name}_FILE to the path of a file that holds it.")
    try:
        return parse(raw)
    except ValueError as error:
        raise SettingError(name, str(error)) from error


def _raw(environ: Mapping[str, str], name: str) -> str:
    path = environ.get(f"{name}_FILE")
    if not path:
        return environ.get(name, "").strip()
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SettingError(f"{name}_FILE", f"names {path}, which cannot be read: {error.strerror}.") from error


def _token(raw: str) -> str:
    bot_id, _, key = raw.partition(":")
    if not (bot_id.isdecimal() and key):
        raise ValueError("must look like a bot token, 123456789:letters-and-digits.")
    return raw


def _url(raw: str) -> URL:
    url = URL(raw)
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError("must be an address, for example https://proxy/bmc-webhook.")
    return url


def _port(raw: str) -> int:
    if not raw.isdecimal() or not 0 < int(raw) < 65536:
        raise ValueError("must be a port number from 1 to 65535.")
    return int(raw)


def _optional_port(raw: str) -> int | None:
    return None if raw == "none" else _port(raw)


def _address(raw: str) -> Address | None:
    if raw == "none":
        return None
    host, _, port = raw.rpartition(":")
    if not host:
        raise ValueError("must be an address with a port, for example db:5432.")
    return Address(host, _port(port))


def _seconds(raw: str) -> float:
    try:
        seconds = float(raw)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 3600:
        raise ValueError("must be a number of seconds from 0 to 3600.")
    return seconds
