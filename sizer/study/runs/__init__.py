"""Each run of the study: its network, its energy, standardised and filtered."""
