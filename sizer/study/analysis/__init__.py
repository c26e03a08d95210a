"""The paper's analyses: trends, cache edges, the fit of the energy model, sizes of equal loss."""
