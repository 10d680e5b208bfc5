"""Periodic tasks: expires what was never paid, repairs what time breaks, forgets in time, measures the state."""
