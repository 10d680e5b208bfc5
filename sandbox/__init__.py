"""
Stand-ins for Telegram's Bot API and for Buy Me a Coffee (BMC).

With the stand-ins, the whole product runs without accounts on the real services.

The sandbox keeps its state in memory, in bounded collections. A restart loses all messages, payments and deliveries. A restart
also loses all simulated people, unless SANDBOX_RECORD names a file from which the sandbox can read the people again.
The sandbox imports no code of the product. An error in shared code would be in the sandbox and in the product, so no test would
find it.
"""
