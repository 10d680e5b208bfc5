"""Hypothesis profiles for all unit tests."""

from hypothesis import Phase, settings

# Set no deadline, because even a correct test is slow on a busy machine.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

# `make mutate` uses this profile. It tests each mutant with at most 25 fixed examples, and does not shrink failing examples.
settings.register_profile(
    "mutants",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=25,
    phases=(Phase.explicit, Phase.generate),
)
