"""What everything stands on: errors, records, units, files, a Ray cluster."""
