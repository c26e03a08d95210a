"""Families: sizes of what a user's own function builds: traced, a few of them timed, the others predicted."""
