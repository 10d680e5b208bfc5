"""Keep the bot's profile: its commands, menu buttons, names and descriptions. They may differ by language, audience and chat."""

from dataclasses import dataclass, field
from typing import Any

Commands = list[dict[str, str]]
MenuButton = dict[str, Any]

COMMANDS_BUTTON: MenuButton = {"type": "commands"}
DEFAULT_BUTTON: MenuButton = {"type": "default"}


@dataclass(frozen=True)
class Audience:
    """
    The people who see a list of commands.

    *scope* is a kind of chats, such as `all_private_chats`. *chat_id* is set only if the scope is a single chat, otherwise
    None. An empty *language_code* stands for all languages that have no list of their own.
    """

    scope: str
    chat_id: int | None = None
    language_code: str = ""


@dataclass
class Profile:
    commands: dict[Audience, Commands] = field(default_factory=dict)
    # The keys are chat ids. The value of the key None is the button of all chats that have no button of their own.
    menu_buttons: dict[int | None, MenuButton] = field(default_factory=dict)
    # Each key is a kind (name, description or short_description) and a language code. An empty code stands for all other
    # languages.
    texts: dict[tuple[str, str], str] = field(default_factory=dict)
    # True if the creator of the bot has enabled the Main Mini App at @BotFather. No method of the Bot API can enable it.
    has_main_web_app: bool = False

    def commands_seen(self, user_id: int, language_code: str) -> Commands:
        """
        Return the commands that a person sees in the private chat. If several lists apply, return the most specific one.

        Source: https://core.telegram.org/bots/api#determining-list-of-commands, read 2026-11-22.
        """
        language = language_code.partition("-")[0].lower()
        scopes = (("chat", user_id), ("all_private_chats", None), ("default", None))
        audiences = [Audience(scope, chat_id, code) for scope, chat_id in scopes for code in (language, "")]
        return next((self.commands[one] for one in audiences if one in self.commands), [])

    def menu_button_seen(self, user_id: int) -> MenuButton:
        own = self.menu_buttons.get(user_id, DEFAULT_BUTTON)
        shared = self.menu_buttons.get(None, DEFAULT_BUTTON)
        return next((button for button in (own, shared) if button != DEFAULT_BUTTON), COMMANDS_BUTTON)

    def text_seen(self, kind: str, language_code: str) -> str:
        language = language_code.partition("-")[0].lower()
        return self.texts.get((kind, language)) or self.texts.get((kind, ""), "")
