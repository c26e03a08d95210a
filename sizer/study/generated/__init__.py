"""Files in the published schema, made from the cost model to try the analysis on."""
