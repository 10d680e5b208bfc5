"""The process `bot`: how it is wired, and nothing that another bot could include."""
