"""Levers, one a module: what each changes, whether results stay bit-identical, and how to keep it."""
