"""The passes: each takes a program (or a loop in it) and leaves one that computes the same, faster."""
