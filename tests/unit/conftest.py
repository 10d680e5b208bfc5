"""Hypothesis profiles for all unit tests."""

from hypothesis import Phase, settings

# No deadline: a test may be slow only because the machine is busy.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

# For `make mutate`: each mutant gets the same few examples, and no time is spent on shrinking a failing one.
settings.register_profile(
    "mutants",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=25,
    phases=(Phase.explicit, Phase.generate),
)
