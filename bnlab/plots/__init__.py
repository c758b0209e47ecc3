"""Pictures: each `draw_*(axes, result)` makes artists once, and their `update(result)` moves them."""
