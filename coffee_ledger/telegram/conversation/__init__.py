"""What the bot answers, one router a topic."""
