"""One training of one size: run in slices, grown, pruned, here or on a Ray cluster."""
