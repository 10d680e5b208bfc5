"""The Telegram part of the project: the conversation with users, the operators' desk, the Mini App's endpoints and the notifier."""
