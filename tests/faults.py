"""Faults at operations on files: each of them in turn fails, or is the last thing that a process does."""

import os

OPERATIONS = ["open", "write", "fsync", "replace", "close", "unlink", "scandir", "mkdir"]


def interrupted(patch, number: int, end) -> list[str]:
    """Let `end` happen in the place of operation `number` on a file (in the middle of a write). Returns the log."""
    done: list[str] = []

    def counted(name, operation):
        def call(*arguments, **options):
            done.append(name)
            if len(done) == number:
                if name == "write":
                    descriptor, content = arguments
                    operation(descriptor, content[: len(content) // 2])
                end(name)
            return operation(*arguments, **options)

        return call

    for name in OPERATIONS:
        patch.setattr(os, name, counted(name, getattr(os, name)))
    return done
