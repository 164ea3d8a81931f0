class BadInput(Exception):
    """What the user of a command gave cannot be used; the message is one line that says what, and what would do."""
