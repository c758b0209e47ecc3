"""The same picture as most notebooks make it: `interact`, and a new figure at every move."""

from typing import Any

import ipywidgets
import matplotlib.pyplot as plt

from bnlab.apps.controls import Choice, Control
from bnlab.apps.explorer import Explorer


def naive(explorer: Explorer[Any]) -> None:
    """Display `explorer`'s computation and drawing under ipywidgets' `interact`."""

    def show(**values: Any) -> None:
        figure = plt.figure(figsize=explorer.size)
        explorer.draw(figure, explorer.compute(**values))
        plt.show()

    def widget(control: Control) -> ipywidgets.ValueWidget:
        kind = (
            ipywidgets.ToggleButtons if isinstance(control, Choice) else ipywidgets.SelectionSlider
        )
        options = [(control.readout(value), value) for value in control.values]
        return kind(options=options, value=explorer.start[control.name], description=control.label)

    controls = {control.name: widget(control) for control in explorer.controls}
    ipywidgets.interact(show, **controls).widget.add_class("naive")
