"""The conversation with users: a router for each topic."""
