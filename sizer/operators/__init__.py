"""Priced operators: what one call of an operator costs in a training step, by shape and layout."""
