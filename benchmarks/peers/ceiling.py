"""
The ceiling: a webhook that verifies the signature, parses the JSON and answers 200, without a database.

No webhook on aiohttp that also stores payments can be faster in one process.
"""

from aiohttp import web

from benchmarks.peers.deliveries import PATH, PORT, read_delivery


async def take(request: web.Request) -> web.Response:
    _, event = await read_delivery(request)
    return web.json_response({"outcome": event["type"]})


if __name__ == "__main__":
    app = web.Application()
    app.router.add_post(PATH, take)
    web.run_app(app, port=PORT, access_log=None, print=None)
