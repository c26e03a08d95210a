"""The paper's figures, drawn from an analysis."""
