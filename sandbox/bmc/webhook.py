"""Store the webhook's address, secret and state, as BMC's dashboard does."""

import hashlib
import hmac
from dataclasses import dataclass, field

from yarl import URL

from sandbox.journal import log

# "More than 10 consecutive failed deliveries disable the webhook." BMC does not say whether a retry counts as a delivery.
# The sandbox counts each retry. So it may disable the webhook sooner than BMC, which is the harder case for the product.
# Source: help.buymeacoffee.com, "How to set up and use Buy Me a Coffee webhooks", read 2026-11-22.
_FAILURES_MAX = 10


@dataclass
class Webhook:
    url: URL
    secret: str = field(repr=False)
    enabled: bool = True
    failures_in_a_row: int = 0

    def note_success(self) -> None:
        self.failures_in_a_row = 0

    def note_failure(self) -> None:
        self.failures_in_a_row += 1
        if self.enabled and self.failures_in_a_row > _FAILURES_MAX:
            self.enabled = False
            log.info("bmc: webhook disabled after %d failures in a row", self.failures_in_a_row)

    def enable(self) -> None:
        """Enable the webhook. Events that happened while it was disabled are not sent."""
        self.enabled = True
        self.failures_in_a_row = 0
        log.info("bmc: webhook enabled")


def sign(secret: str, body: bytes) -> str:
    """Return the value of the header x-signature-sha256."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
