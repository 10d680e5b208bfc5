"""
The janitor runs periodic tasks.

The tasks expire old pending payments, retry unmatched charges, erase old personal data, send probes, and measure the state for
metrics.
"""
