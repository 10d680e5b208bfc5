"""The operators' desk: commands and buttons to see and decide what the matching rules could not."""
