"""Reports: functions from a record to blocks (`layout`), which `terminal` draws; also pictures, CSV, Markdown, code."""
