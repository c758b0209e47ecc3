"""What the notebooks measure: each module asks one question of a network or a layer."""
