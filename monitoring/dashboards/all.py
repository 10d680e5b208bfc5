"""All dashboards, in the order in which somebody who looks for a cause goes through them."""

from monitoring.dashboards import bot, janitor, overview, payments, platform, postgres, webhook

BOARDS = (overview.BOARD, payments.BOARD, webhook.BOARD, bot.BOARD, janitor.BOARD, postgres.BOARD, platform.BOARD)
