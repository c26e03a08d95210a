"""Families: the widths of a user's own architecture, traced, timed where it tells most, and priced."""
