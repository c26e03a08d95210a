"""Search: the cheapest network that reaches a loss the user names."""
