"""The domain: what a code, a charge, a match and a credit are, and how they are kept."""
