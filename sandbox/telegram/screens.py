"""The pages of the Telegram stand-in."""

from aiohttp import web

from sandbox.telegram.state import Telegram
from sandbox.templates import page

_PEOPLE_SHOWN_MAX = 200


class Screens:
    def __init__(self, telegram: Telegram) -> None:
        self._telegram = telegram

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/telegram", self.show_people),
            web.get("/telegram/users", self.read_people),
            web.get("/telegram/misbehave", self.read_misbehaviour),
            web.get(r"/telegram/chat/{user_id:\d{1,15}}", self.show_chat),
        ]

    async def show_people(self, request: web.Request) -> web.Response:
        return page("people.html")

    async def show_chat(self, request: web.Request) -> web.Response:
        person = self._telegram.people.get_or_create(int(request.match_info["user_id"]))
        return page("chat.html", user_id=str(person.id), first_name=person.first_name)

    async def read_people(self, request: web.Request) -> web.Response:
        people = self._telegram.people.newest_first()[:_PEOPLE_SHOWN_MAX]
        return web.json_response([{**person.as_user(), "standing": person.standing.value} for person in people])

    async def read_misbehaviour(self, request: web.Request) -> web.Response:
        rules = self._telegram.misbehaviour.rules
        return web.json_response(
            {
                "rules": [
                    {"method": rule.method, "kind": rule.fault.value, "times": rule.times, "user_id": rule.user_id}
                    for rule in rules
                ],
                "paused": self._telegram.misbehaviour.paused,
            }
        )
