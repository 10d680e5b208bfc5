"""The janitor runs periodic tasks: expire unpaid requests, settle due work, erase old personal data, and measure the state for metrics."""
