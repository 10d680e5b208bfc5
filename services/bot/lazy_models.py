"""Import aiogram without building its pydantic models. pydantic builds each model when it is first used."""

from typing import Any

from pydantic import BaseModel


def import_aiogram() -> None:
    """
    Import aiogram, but build none of its models. Call this function before any other code imports aiogram.

    aiogram has a model for each of the 400 types of the Bot API. The last lines of the package `aiogram.types` call
    `model_rebuild` for each model to build its validator. All calls together take two seconds and 100 MB of memory, but a bot
    uses only a part of the models. aiogram's configuration `defer_build` has no effect, because `model_rebuild` ignores it.

    Source: https://github.com/aiogram/aiogram/issues/1513, read November 2026.
    """
    base: Any = BaseModel
    rebuild = vars(BaseModel)["model_rebuild"]
    names: dict[str, Any] = {}

    def keep_names(_model: type[BaseModel], /, *, _types_namespace: dict[str, Any]) -> None:
        names.update(_types_namespace)

    def rebuild_with_names(model: type[BaseModel], /, **options: Any) -> Any:
        return rebuild.__func__(model, **{**options, "_types_namespace": names})

    base.model_rebuild = classmethod(keep_names)
    try:
        from aiogram.methods.base import Response, TelegramMethod  # noqa: PLC0415 — see the docstring
        from aiogram.types.base import TelegramObject  # noqa: PLC0415 — see the docstring
    finally:
        base.model_rebuild = rebuild
    # Replace `model_rebuild`, which pydantic calls when a model is used for the first time. The new method knows the names of
    # all types. It needs them, because the annotations of aiogram's models are strings.
    of_aiogram: tuple[Any, ...] = (TelegramObject, TelegramMethod, Response)
    for kind in of_aiogram:
        kind.model_rebuild = classmethod(rebuild_with_names)
