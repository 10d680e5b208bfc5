"""The conversation with users. Each topic has its own module and router."""
