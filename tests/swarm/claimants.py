"""People who claim payments in a dialogue with the bot. Sometimes they answer by a message and by a button at the same time."""

import asyncio
import itertools
import math
import random
import time
from collections.abc import Collection, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.chaos.facts import Message
from tests.chaos.people import Telegram
from tests.swarm.facts import Dialogue, Step
from tests.swarm.replies import Reply, read_reply

FIRST_ID = 60_000
DIALOGUES_MAX = 3
"""The maximum number of dialogues of one person. The bot accepts at most three claims of one person within a day."""

ANSWER_SECONDS_MAX = 180.0
"""
The time after which a step of a dialogue counts as unanswered.

A node may be down for about a minute. When the node is up again, Telegram may wait up to a minute before it repeats an update.
"""

REPEATS_MAX = 5
TROUBLE_SECONDS = 3.0
"""The time after which a person repeats an act if the bot has asked the person to try again."""
ASKED_AGAIN_SECONDS = 20.0
"""The time after which a person repeats an answer if the bot repeats its question and then sends nothing more."""

LOOK_SECONDS = 2.0
"""
The interval at which a person asks the sandbox for the bot's answers to button presses.

These answers are not in the file in which the sandbox records the bot's messages.
"""

BUTTON_AMOUNTS = ("5", "10", "25", "50")
SHARE_OF_COPIES = 1 / 8
SHARE_OF_PAIRS = 1 / 4

Act = tuple[str, str]
"""An action of a person: `say` and a text, or `press` and the text or data of a button."""

BEGINS = (Reply.WHICH_PAYMENT, Reply.WHICH_DAY)
ENDS = (Reply.PASSED_ON, Reply.ALREADY_KNOWN)
TROUBLES = (Reply.WENT_WRONG, Reply.TRY_LATER)
"""
The replies by which the bot asks a person to try again, because the bot could not handle an act.

The reply is a message, or the answer to a press of a button.
"""


class UnansweredError(Exception):
    """The bot gave none of the expected answers to a step of a dialogue in time."""


@dataclass
class Claimants:
    """Lets people begin dialogues until `run` is cancelled. `finish` waits for the dialogues in progress."""

    telegram: Telegram
    chance: random.Random
    dialogues: list[Dialogue] = field(default_factory=list)
    _ids: "itertools.count[int]" = field(default_factory=lambda: itertools.count(FIRST_ID))
    _under_way: set[asyncio.Task[None]] = field(default_factory=set)
    _error: BaseException | None = None
    """The exception of the last failed task, or None. It shows a mistake in this module, not in the product."""

    async def run(self, *, per_second: float) -> None:
        """Let new people come at random intervals, on average *per_second* per second, until this task is cancelled."""
        while True:
            self._start(Claimant(self.telegram, next(self._ids), self.chance, self.dialogues).claim_some_payments())
            await asyncio.sleep(self.chance.expovariate(per_second))

    async def finish(self) -> None:
        """Wait until every dialogue has ended. Raise the error of a failed task, if there was one."""
        while self._under_way:
            await asyncio.wait(self._under_way)
        if self._error:
            raise self._error

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._error = error


@dataclass
class Claimant:
    telegram: Telegram
    user: int
    chance: random.Random
    dialogues: list[Dialogue]
    """Each dialogue is added to this list when it begins."""
    _read: int = 0
    """The number of messages in the chat that the person has read."""

    async def claim_some_payments(self) -> None:
        """
        Claim a random number of payments, from one to `DIALOGUES_MAX`, one after the other.

        The person withdraws each claim before the next one, because only one claim may be open. The person withdraws the last
        claim with a probability of 1/2.
        """
        await self.telegram.create(self.user)
        count = self.chance.randint(1, DIALOGUES_MAX)
        try:
            for number in range(1, count + 1):
                await self._claim(number, withdraws=number < count or self.chance.random() < 1 / 2)
        except UnansweredError:
            # Claim no further payment, because the bot may still wait for an answer in the failed dialogue. The checker reports
            # the unanswered step.
            return

    async def _claim(self, number: int, *, withdraws: bool) -> None:
        dialogue = Dialogue(self.user)
        self.dialogues.append(dialogue)
        if self.chance.random() < 1 / 4:
            await self._do(dialogue, [("say", "/pay 7")], [Reply.CODE])
        reply = await self._do(dialogue, [("say", "/claim")], BEGINS)
        if reply is Reply.WHICH_PAYMENT and number == 1 and self.chance.random() < 1 / 2:
            dialogue.days, dialogue.amount = _days(0), "7"
            await self._do(dialogue, [("press", "Yes, paid today")], [Reply.WHICH_NAME])
        else:
            if reply is Reply.WHICH_PAYMENT:
                await self._do(dialogue, [("press", "Another payment, or another day")], [Reply.WHICH_DAY])
            await self._give_day(dialogue)
            await self._give_amount(dialogue, number)
        if not dialogue.is_confirmed:
            await self._give_name(dialogue, f"Claimant {self.user} {number}")
        if withdraws:
            await self._do(dialogue, [("press", "Withdraw")], [Reply.WITHDRAWN])
            dialogue.is_withdrawn = True

    async def _give_day(self, dialogue: Dialogue) -> None:
        days_ago = self.chance.randint(0, 2)
        dialogue.days = _days(days_ago)
        act = ("press", f"day:{days_ago}") if days_ago < 2 else ("say", min(dialogue.days))
        await self._do(dialogue, [act], [Reply.HOW_MUCH])
        dialogue.days |= _days(days_ago)

    async def _give_amount(self, dialogue: Dialogue, number: int) -> None:
        """Give the amount by a button or by a message, or by both at the same time."""
        if self.chance.random() < 1 / 2:
            dialogue.amount = f"{100 * number + self.chance.randrange(100)}.{self.chance.randrange(1, 100):02}"
            await self._do(dialogue, [("say", dialogue.amount)], [Reply.WHICH_NAME])
            return
        dialogue.amount = BUTTON_AMOUNTS[number]
        acts = [("press", f"paid:{dialogue.amount}:USD")]
        if self.chance.random() < SHARE_OF_PAIRS:
            # Also send the amount as a message. If the bot gets the button press first, it asks for the name next, and takes
            # the amount in the message as the name.
            acts.append(("say", dialogue.amount))
            dialogue.names = frozenset({dialogue.amount})
        reply = await self._do(dialogue, acts, [Reply.WHICH_NAME, *ENDS])
        dialogue.is_confirmed = reply in ENDS

    async def _give_name(self, dialogue: Dialogue, name: str) -> None:
        """Give the name by a message or skip it by a button, or do both at the same time."""
        acts: list[Act] = [("say", name), ("press", "claim:skip")]
        names: list[str | None] = [name, None]
        if self.chance.random() > SHARE_OF_PAIRS:
            chosen = self.chance.randrange(2)
            acts, names = [acts[chosen]], [names[chosen]]
        dialogue.names |= frozenset(names)
        await self._do(dialogue, acts, ENDS)
        dialogue.is_confirmed = True
        # Wait until the bot has got each press, because Telegram may deliver a press much later than a message. In the next
        # dialogue, a late press would count as an answer.
        while await self.telegram.has_open_press(self.user):  # noqa: ASYNC110 — poll, because the sandbox sends no signal
            await asyncio.sleep(0.5)

    async def _do(self, dialogue: Dialogue, acts: list[Act], expected: Collection[Reply]) -> Reply:
        """
        Do the acts at the same time, and wait for one of the expected answers.

        Repeat the acts if the bot asks the person to try again, or if the bot repeats its question and then sends nothing more.

        Raises:
            UnansweredError: None of the expected answers came in time.
        """
        await asyncio.sleep(self.chance.uniform(0.2, 2))
        copies = 2 if self.chance.random() < SHARE_OF_COPIES else 1
        question = dialogue.steps[-1].reply if dialogue.steps else None
        step = Step([": ".join(act) for act in acts], time.time(), copies)
        dialogue.steps.append(step)
        presses = await self._perform(acts, copies)
        repeat_at = math.inf
        while step.repeats <= REPEATS_MAX:
            message = await self._next_message(min(time.time() + LOOK_SECONDS, repeat_at))
            if message is None and time.time() > repeat_at:
                step.repeats, repeat_at = step.repeats + 1, math.inf
                presses = await self._perform(acts, 1)
            elif message is None:
                if time.time() > step.at + ANSWER_SECONDS_MAX:
                    break
                if repeat_at == math.inf and await self._is_asked_to_repeat(presses):
                    repeat_at = time.time() + TROUBLE_SECONDS
            elif (reply := read_reply(message)) in expected:
                assert reply is not None
                step.answered_at, step.reply, step.bot = message.at, reply, message.caller
                return reply
            else:
                step.surprises.append(message.text[:80])
                if reply in TROUBLES:
                    repeat_at = time.time() + TROUBLE_SECONDS
                elif reply is not None and reply is question:
                    repeat_at = time.time() + ASKED_AGAIN_SECONDS
        raise UnansweredError

    async def _perform(self, acts: list[Act], copies: int) -> set[str]:
        """Do the acts at the same time. Telegram delivers each act *copies* times. Return the ids of the button presses."""
        do = {"say": self.telegram.say, "press": self.telegram.press}
        done = await asyncio.gather(*(do[how](self.user, what, copies=copies) for how, what in acts))
        return {press for press in done if press is not None}

    async def _is_asked_to_repeat(self, presses: set[str]) -> bool:
        """Return whether the bot has answered one of the presses with a text that asks the person to try again."""
        answers = (await self.telegram.read_press_answers(self.user)) if presses else {}
        return any(answers.get(press, "").startswith(TROUBLES) for press in presses)

    async def _next_message(self, deadline: float) -> Message | None:
        """Return the next message of the chat, or None if none has come until *deadline*."""
        chat = self.telegram.by_chat[self.user]
        while self._read == len(chat):
            if time.time() > deadline:
                return None
            await asyncio.sleep(0.1)
        self._read += 1
        return chat[self._read - 1]


def _days(days_ago: int) -> frozenset[str]:
    """Return a set of one date, which is *days_ago* days before today in the time zone of the bot."""
    return frozenset({(datetime.now(UTC) - timedelta(days=days_ago)).date().isoformat()})
