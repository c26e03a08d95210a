"""Tuning: which lever makes a training script cheaper, measured on the script itself."""
