"""Periodic tasks: expires unpaid requests, settles due work, erases personal data in time, and measures the state for metrics."""
