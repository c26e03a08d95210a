"""Reports: each reads a record and nothing else, and says it in text, a picture or a table."""
