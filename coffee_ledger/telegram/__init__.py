"""Everything that uses Telegram: the conversation with users, the operators' desk, the Mini App's endpoints and the notifier."""
