"""Callbacks for training frameworks. Each module needs its framework, an optional extra of its name."""
