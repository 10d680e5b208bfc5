"""The operators' desk: commands and buttons with which operators decide the charges and claims that no matching rule decided."""
