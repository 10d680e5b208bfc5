from coffee_ledger.runtime.process import run_service
from services.bot.lazy_models import import_aiogram

if __name__ == "__main__":
    # Call `import_aiogram` before the imports below. Otherwise these imports would build all models of aiogram, which takes
    # seconds.
    import_aiogram()
    from coffee_ledger.telegram.settings import BotSettings
    from services.bot.service import work

    run_service("bot", BotSettings, work)
