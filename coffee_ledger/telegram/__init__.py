"""Talks to people: the conversation, and the delivery of what they are owed to hear."""
