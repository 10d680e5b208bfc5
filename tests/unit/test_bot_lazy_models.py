"""The bot builds each of aiogram's models only when it first uses the model. Each test imports aiogram in a new process."""

import json
import subprocess
import sys

from tests.files import ROOT

PROGRAM = """
import json
from services.bot.lazy_models import import_aiogram

import_aiogram()

from aiogram import methods, types
from pydantic import BaseModel

def models_of(package):
    named = [getattr(package, name) for name in package.__all__]
    return [one for one in named if isinstance(one, type) and issubclass(one, BaseModel)]

def count_built(models):
    return sum(one.__pydantic_complete__ for one in models)

models = models_of(types) + models_of(methods)
at_first = count_built(models_of(types))
update = {"update_id": 1, "message": {"message_id": 2, "date": 3, "chat": {"id": 4, "type": "private"}, "text": "/start"}}
text = types.Update.model_validate(update).message.text
for one in models:
    one.model_rebuild()
print(json.dumps([at_first, text, len(models) - count_built(models), methods.SendMessage(chat_id=1, text="Hello").text]))
"""


def test_no_type_is_built_at_first_and_every_model_can_be_built_later() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [0, "/start", 0, "Hello"]
