"""Pictures: each `draw_*(axes, result)` makes artists, and their `update(result)` moves them."""
