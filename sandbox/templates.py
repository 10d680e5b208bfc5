"""The sandbox's pages."""

from html import escape
from pathlib import Path
from string import Template

from aiohttp import web

_PAGES = Path(__file__).parent / "pages"
# Inline scripts and styles are ours; nothing is ever loaded from elsewhere.
_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "connect-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'"
)


def page(name: str, **values: str) -> web.Response:
    """Fill a page's ``$names`` with escaped values."""
    frame = Template((_PAGES / "frame.html").read_text(encoding="utf-8"))
    content = Template((_PAGES / name).read_text(encoding="utf-8"))
    safe = {key: escape(value.encode("utf-8", "replace").decode()) for key, value in values.items()}
    return web.Response(
        text=frame.substitute(content=content.substitute(safe)),
        content_type="text/html",
        headers={"Content-Security-Policy": _POLICY, "Cache-Control": "no-store"},
    )
