"""A designed grid of trainings on one's own machine, in the published schema."""
