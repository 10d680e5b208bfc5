"""Settings of all unit tests."""

from hypothesis import Phase, settings

# A busy machine is no fault of the code: a test may take its time.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

# For `make mutate`: each mutant gets the same few examples, and nothing is spent on the smallest one that fails.
settings.register_profile(
    "mutants",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=25,
    phases=(Phase.explicit, Phase.generate),
)
