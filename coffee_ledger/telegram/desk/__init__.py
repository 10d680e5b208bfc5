"""The operators' desk: commands and buttons to decide charges and claims that the matching rules left open."""
