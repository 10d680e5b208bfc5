"""Check inline keyboards, reply keyboards and the menu button, and find buttons in them."""

from collections.abc import Iterator, Mapping
from typing import Any

from yarl import URL

from sandbox.telegram.errors import bad_request

_ACTIONS = frozenset(
    {
        "url",
        "callback_data",
        "web_app",
        "login_url",
        "switch_inline_query",
        "switch_inline_query_current_chat",
        "switch_inline_query_chosen_chat",
        "copy_text",
        "callback_game",
        "pay",
    }
)
_BUTTONS_MAX = 100
_CALLBACK_DATA_BYTES_MAX = 64
_COPY_TEXT_MAX = 256


def check_markup(markup: Any) -> dict[str, Any] | None:
    """
    Return the reply markup as Telegram would store it. Return None if there is no markup, or if an inline keyboard is empty.

    Raises:
        ApiError: The markup is invalid.
    """
    if markup is None:
        return None
    if not isinstance(markup, dict):
        raise bad_request("object expected as reply markup")
    if "inline_keyboard" in markup:
        rows = _rows(markup["inline_keyboard"])
        for button in _buttons(rows):
            _check_inline_button(button)
        return {"inline_keyboard": [row for row in rows if row]} if any(rows) else None
    if "keyboard" in markup:
        return {**markup, "keyboard": [[_reply_button(b) for b in row] for row in _rows(markup["keyboard"])]}
    return dict(markup)


def find_button(markup: Mapping[str, Any] | None, wanted: str) -> dict[str, Any] | None:
    """Return the inline button whose text or callback data is *wanted*, or None if there is no such button."""
    for button in buttons_of(markup) if is_inline(markup) else ():
        if wanted in (button["text"], button.get("callback_data")):
            return dict(button)
    return None


def copied_texts(markup: Mapping[str, Any] | None) -> Iterator[str]:
    """Yield the text that each copy button of an inline keyboard copies."""
    return (button["copy_text"]["text"] for button in buttons_of(markup) if "copy_text" in button)


def buttons_of(markup: Mapping[str, Any] | None) -> Iterator[dict[str, Any]]:
    """Yield the buttons of an inline keyboard or a reply keyboard."""
    rows = (markup or {}).get("inline_keyboard") or (markup or {}).get("keyboard") or []
    yield from _buttons(rows)


def is_inline(markup: Mapping[str, Any] | None) -> bool:
    return markup is not None and "inline_keyboard" in markup


def check_menu_button(button: Any) -> dict[str, Any]:
    """Return the menu button as Telegram would store it. If *button* is None, return the default button."""
    if button is None:
        return {"type": "default"}
    if not isinstance(button, dict) or button.get("type") not in ("default", "commands", "web_app"):
        raise bad_request("can't parse menu button: unsupported type specified")
    if button["type"] != "web_app":
        return {"type": button["type"]}
    _check_button_text(button)
    _check_web_app({"web_app": button.get("web_app")})
    return {"type": "web_app", "text": button["text"], "web_app": {"url": button["web_app"]["url"]}}


def _rows(value: Any) -> list[list[Any]]:
    if not isinstance(value, list) or not all(isinstance(row, list) for row in value):
        raise bad_request('field "keyboard" of the reply markup must be an Array of Arrays')
    if sum(map(len, value)) > _BUTTONS_MAX:
        raise bad_request("reply markup is too long")
    return value


def _buttons(rows: list[list[Any]]) -> Iterator[Any]:
    for row in rows:
        yield from row


def _reply_button(button: Any) -> dict[str, Any]:
    button = {"text": button} if isinstance(button, str) else button
    _check_button_text(button)
    _check_web_app(button)
    return dict(button)


def _check_inline_button(button: Any) -> None:
    _check_button_text(button)
    actions = sorted(_ACTIONS & button.keys())
    if not actions:
        raise bad_request("Text buttons are unallowed in the inline keyboard")
    if len(actions) > 1:
        # Telegram's documentation forbids a button with several actions. Telegram silently picks one of the actions, but the
        # sandbox refuses the button.
        raise bad_request(f"can't parse inline keyboard button: exactly one action expected, got {', '.join(actions)}")
    _check_callback_data(button)
    _check_copy_text(button)
    _check_url(button)
    _check_web_app(button)


def _check_button_text(button: Any) -> None:
    if not isinstance(button, dict) or not isinstance(button.get("text"), str) or not button["text"]:
        raise bad_request('can\'t parse keyboard button: Field "text" must be a non-empty String')


def _check_callback_data(button: Mapping[str, Any]) -> None:
    if "callback_data" not in button:
        return
    data = button["callback_data"]
    if not isinstance(data, str) or not 1 <= len(data.encode("utf-8", "replace")) <= _CALLBACK_DATA_BYTES_MAX:
        raise bad_request("BUTTON_DATA_INVALID")


def _check_copy_text(button: Mapping[str, Any]) -> None:
    if "copy_text" not in button:
        return
    copied = button["copy_text"]
    text = copied.get("text") if isinstance(copied, dict) else None
    if not isinstance(text, str) or not 1 <= len(text) <= _COPY_TEXT_MAX:
        raise bad_request("BUTTON_COPY_TEXT_INVALID")


def _check_url(button: Mapping[str, Any]) -> None:
    if "url" in button and not _is_link(button["url"], schemes=("http", "https", "tg")):
        raise bad_request(f"inline keyboard button URL '{button['url']}' is invalid: Wrong HTTP URL")


def _check_web_app(button: Mapping[str, Any]) -> None:
    if "web_app" not in button:
        return
    url = button["web_app"].get("url") if isinstance(button["web_app"], dict) else None
    if not _is_link(url, schemes=("https",)):
        raise bad_request(f"keyboard button Web App URL '{url}' is invalid: Only HTTPS links are allowed")


def _is_link(value: Any, *, schemes: tuple[str, ...]) -> bool:
    try:
        url = URL(value)
    except (TypeError, ValueError):
        return False
    return url.scheme in schemes and bool(url.host)
