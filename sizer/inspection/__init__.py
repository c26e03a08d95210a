"""Any torch module: what a step of it computes, keeps and moves, where that lives, what it costs, what to change."""
