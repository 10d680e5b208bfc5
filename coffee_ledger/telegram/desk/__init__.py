"""The operators' desk has commands and buttons by which operators decide charges and claims that the matching rules left open."""
