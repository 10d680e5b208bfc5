"""
Parse formatted text by Telegram's rules.

Source: https://core.telegram.org/bots/api#html-style, read 2026-11-22. The error texts come from parse_html of
Telegram's library TDLib.
"""

import re
from dataclasses import dataclass, replace
from html import unescape
from typing import Any

from yarl import URL

_TYPES = {
    "b": "bold",
    "strong": "bold",
    "i": "italic",
    "em": "italic",
    "u": "underline",
    "ins": "underline",
    "s": "strikethrough",
    "strike": "strikethrough",
    "del": "strikethrough",
    "tg-spoiler": "spoiler",
    "code": "code",
    "pre": "pre",
    "blockquote": "blockquote",
    "a": "text_link",
    "span": "spoiler",
    "tg-emoji": "custom_emoji",
    "tg-time": "date_time",
}
_TIME_FORMAT = re.compile(r"r|w?[dD]?[tT]?")
_CHARACTER = re.compile(r"&(?:lt|gt|amp|quot|#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6});?")
_TAG_NAME = re.compile(r"[^\s>]*")
_END_TAG_NAME = re.compile(r"[^\s>]*")
_ATTRIBUTE = re.compile(
    r"""\s*(?P<name>[^\s=>/"']+)(?:\s*=\s*(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<bare>[A-Za-z0-9.\-]+)))?"""
)
_COMMAND = re.compile(r"(?<![\w/])/[A-Za-z0-9_]{1,64}(?:@[A-Za-z0-9_]{3,32})?")
_MENTION = re.compile(r"(?<![\w@/.])@[A-Za-z][A-Za-z0-9_]{3,31}\b")
_LINK = re.compile(r"https?://[^\s<>\"]*[^\s<>\".,;:!?)\]]")
_BLANKS = " \t\n\r\v\f"


class MarkupError(Exception):
    """The text cannot be parsed. The error message has Telegram's wording."""


@dataclass(frozen=True)
class Entity:
    """A formatted range of the text. Offset and length count UTF-16 code units, as everywhere in the Bot API."""

    type: str
    offset: int
    length: int
    url: str | None = None
    language: str | None = None
    unix_time: int | None = None
    date_time_format: str | None = None

    @property
    def end(self) -> int:
        return self.offset + self.length

    def as_field(self) -> dict[str, Any]:
        field: dict[str, Any] = {"offset": self.offset, "length": self.length, "type": self.type}
        if self.url is not None:
            field["url"] = self.url
        if self.language is not None:
            field["language"] = self.language
        if self.unix_time is not None:
            field["unix_time"] = self.unix_time
        if self.date_time_format:
            field["date_time_format"] = self.date_time_format
        return field


@dataclass(frozen=True)
class Formatted:
    text: str
    entities: tuple[Entity, ...] = ()

    def named_words(self) -> list[str]:
        """Return the commands and @usernames of the text in lower case."""
        units = self.text.encode("utf-16-le", "surrogatepass")
        return [
            units[2 * one.offset : 2 * one.end].decode("utf-16-le", "surrogatepass").lower()
            for one in self.entities
            if one.type in ("bot_command", "mention")
        ]

    def entity_fields(self) -> list[dict[str, Any]]:
        return [entity.as_field() for entity in self.entities]


def read_html(source: str) -> Formatted:
    """
    Parse text that was sent with parse_mode=HTML.

    Raises:
        MarkupError: A tag is unknown, unclosed or closed in the wrong order.
    """
    return trim(_HtmlReader(source).read())


def read_plain(source: str) -> Formatted:
    return trim(Formatted(source))


def with_detected(formatted: Formatted) -> Formatted:
    """Add the entities that Telegram detects by itself: commands, @usernames and links."""
    found = [
        Entity(kind, utf16_length(formatted.text[: match.start()]), utf16_length(match.group()))
        for kind, pattern in (("bot_command", _COMMAND), ("mention", _MENTION), ("url", _LINK))
        for match in pattern.finditer(formatted.text)
    ]
    free = [new for new in found if not any(_overlap(new, old) for old in formatted.entities)]
    links = [new for new in free if new.type == "url"]
    others = [new for new in free if new.type != "url" and not any(_overlap(new, link) for link in links)]
    return replace(formatted, entities=_in_order([*formatted.entities, *links, *others]))


def trim(formatted: Formatted) -> Formatted:
    """Strip blanks around the text and adjust its entities. Drop entities that contained only blanks."""
    text = formatted.text.strip(_BLANKS)
    start = utf16_length(formatted.text) - utf16_length(formatted.text.lstrip(_BLANKS))
    length = utf16_length(text)
    moved = [
        replace(entity, offset=max(entity.offset - start, 0), length=end - max(entity.offset - start, 0))
        for entity in formatted.entities
        if (end := min(entity.end - start, length)) > max(entity.offset - start, 0)
    ]
    return Formatted(text, _in_order(moved))


def utf16_length(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


@dataclass
class _OpenTag:
    name: str
    offset: int
    attributes: dict[str, str]


class _HtmlReader:
    def __init__(self, source: str) -> None:
        self._source = source
        self._at = 0
        self._text: list[str] = []
        self._length = 0
        self._open: list[_OpenTag] = []
        self._entities: list[Entity] = []

    def read(self) -> Formatted:
        while self._at < len(self._source):
            if self._source.startswith("</", self._at):
                self._read_end_tag()
            elif self._source[self._at] == "<":
                self._read_start_tag()
            else:
                self._read_character()
        if self._open:
            raise MarkupError(f'Can\'t find end tag corresponding to start tag "{self._open[-1].name}"')
        return Formatted("".join(self._text), _in_order(self._entities))

    def _read_character(self) -> None:
        # Telegram decodes numeric references and the four named references `&lt;`, `&gt;`, `&amp;` and `&quot;`, and no others.
        match = _CHARACTER.match(self._source, self._at)
        raw = match.group() if match else self._source[self._at]
        self._at += len(raw)
        character = unescape(raw) if match else raw
        self._text.append(character)
        self._length += utf16_length(character)

    def _read_start_tag(self) -> None:
        begin = self._at
        name = self._take(_TAG_NAME, begin + 1).lower()
        if self._at >= len(self._source):
            raise MarkupError(f"Unclosed start tag at byte offset {self._byte(begin)}")
        if name not in _TYPES:
            raise MarkupError(f'Unsupported start tag "{name}" at byte offset {self._byte(begin)}')
        attributes = self._read_attributes(name, begin)
        if name == "span" and attributes.get("class") != "tg-spoiler":
            raise MarkupError(f'Tag "span" must have class "tg-spoiler" at byte offset {self._byte(begin)}')
        if name == "tg-time" and not attributes.get("unix", "").isdecimal():
            raise MarkupError(f'Tag "tg-time" must have a valid attribute "unix" at byte offset {self._byte(begin)}')
        if name == "tg-time" and not _TIME_FORMAT.fullmatch(attributes.get("format", "")):
            raise MarkupError(f'Tag "tg-time" has an invalid attribute "format" at byte offset {self._byte(begin)}')
        self._open.append(_OpenTag(name, self._length, attributes))

    def _read_attributes(self, name: str, begin: int) -> dict[str, str]:
        attributes: dict[str, str] = {}
        while not self._take(re.compile(r"\s*>"), self._at):
            match = _ATTRIBUTE.match(self._source, self._at)
            if match is None and ">" not in self._source[self._at :]:
                raise MarkupError(f"Unclosed start tag at byte offset {self._byte(begin)}")
            if match is None:
                raise MarkupError(f'Empty attribute name in the tag "{name}" at byte offset {self._byte(begin)}')
            attributes[match["name"].lower()] = unescape(match["double"] or match["single"] or match["bare"] or "")
            self._at = match.end()
        return attributes

    def _read_end_tag(self) -> None:
        begin = self._at
        if not self._open:
            raise MarkupError(f"Unexpected end tag at byte offset {self._byte(begin)}")
        name = self._take(_END_TAG_NAME, begin + 2).lower()
        if not self._take(re.compile(r"\s*>"), self._at):
            raise MarkupError(f"Unclosed end tag at byte offset {self._byte(begin)}")
        tag = self._open.pop()
        if name not in ("", tag.name):
            raise MarkupError(
                f'Unmatched end tag at byte offset {self._byte(begin)}, expected "</{tag.name}>", found "</{name}>"'
            )
        self._close(tag)

    def _close(self, tag: _OpenTag) -> None:
        if self._length == tag.offset:
            return
        entity = Entity(_TYPES[tag.name], tag.offset, self._length - tag.offset)
        if tag.name == "blockquote" and "expandable" in tag.attributes:
            entity = replace(entity, type="expandable_blockquote")
        if tag.name == "a":
            url = _link(tag.attributes.get("href") or "".join(self._text))
            if url is None:
                return
            entity = replace(entity, url=url)
        if tag.name == "tg-time":
            entity = replace(
                entity, unix_time=int(tag.attributes["unix"]), date_time_format=tag.attributes.get("format")
            )
        if tag.name == "code" and self._open and self._open[-1].name == "pre":
            language = tag.attributes.get("class", "").removeprefix("language-")
            self._open[-1].attributes["language"] = language
            return
        if tag.name == "pre" and tag.attributes.get("language"):
            entity = replace(entity, language=tag.attributes["language"])
        self._entities.append(entity)

    def _take(self, pattern: re.Pattern[str], at: int) -> str:
        match = pattern.match(self._source, at)
        self._at = match.end() if match else at
        return match.group() if match else ""

    def _byte(self, at: int) -> int:
        return len(self._source[:at].encode("utf-8", "surrogatepass"))


def _link(raw: str) -> str | None:
    """
    Return the address of a link. Like Telegram, append a slash if the address consists only of a scheme and a host.

    Return None if the address is invalid: Telegram drops the link without an error.
    """
    try:
        url = URL(raw)
    except ValueError:
        return None
    if url.scheme not in ("http", "https", "tg") or not url.host:
        return None
    is_bare_host = url.scheme != "tg" and raw == f"{url.scheme}://{url.raw_authority}"
    return f"{raw}/" if is_bare_host else raw


def _overlap(one: Entity, other: Entity) -> bool:
    return one.offset < other.end and other.offset < one.end


def _in_order(entities: list[Entity]) -> tuple[Entity, ...]:
    return tuple(sorted(entities, key=lambda entity: (entity.offset, -entity.length)))
