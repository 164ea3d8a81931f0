"""Tasks that `minigrad train` runs, one a file."""
