"""Programs that developers run by hand."""
