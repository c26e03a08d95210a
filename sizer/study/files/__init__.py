"""The published files, fetched, located, and read with their quirks."""
