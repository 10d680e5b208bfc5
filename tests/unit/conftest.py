"""Settings of all unit tests."""

from hypothesis import settings

# A busy machine is no fault of the code: a test may take its time.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
