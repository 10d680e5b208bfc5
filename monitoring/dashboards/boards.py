"""List all dashboards, in the order in which an operator opens them to find the cause of a problem."""

from monitoring.dashboards import bot, janitor, overview, payment_flow, platform, postgres, webhook

BOARDS = (overview.BOARD, payment_flow.BOARD, webhook.BOARD, bot.BOARD, janitor.BOARD, postgres.BOARD, platform.BOARD)
