"""Live explorers: each move goes to the kernel, which computes and draws."""

from __future__ import annotations

import base64
from html import escape
from typing import TypeVar

import ipywidgets
from traitlets import Int

from bnlab.apps.controls import Choice, Control, Value
from bnlab.apps.explorer import Explorer
from bnlab.apps.still import css_string, display_with_still

Result = TypeVar("Result")


# The page knows where it has put its own handle. The kernel's echo of it would come before the
# picture: one message more at every move, and 5 ms more until something is seen.
class _SilentSlider(ipywidgets.SelectionSlider):  # type: ignore[misc]
    index = Int(0).tag(sync=True, echo_update=False)


class _SilentButtons(ipywidgets.ToggleButtons):  # type: ignore[misc]
    index = Int(None, allow_none=True).tag(sync=True, echo_update=False)


class Live(Explorer[Result]):
    """An explorer whose picture is computed anew at every move of a control.

    Only the moving layer travels at each move, as SVG text: a few kilobytes, which the page shows
    sooner than it could decode a bitmap.

    For many parameters, or work on the reader's own data. `control(name).value = ...` moves a
    control from code just as the reader's hand does.
    """

    def __init__(self, **start: Value) -> None:
        super().__init__(**start)
        self._controls = {control.name: self._widget(control) for control in self.controls}
        for widget in self._controls.values():
            widget.observe(self._moved, "value")
        self.still, self.moving, self.caption = (ipywidgets.HTML() for _ in range(3))
        self.moving.add_class("moving")
        self.caption.add_class("bnlab-caption")
        picture = ipywidgets.VBox([self.still, self.moving])
        picture.add_class("picture")
        self._reset_button = ipywidgets.Button(
            description="Reset", tooltip=f"Return every control of “{self.title}” to its start"
        )
        self._reset_button.on_click(lambda _: self.reset())
        row = ipywidgets.HBox([*self._controls.values(), self._reset_button])
        row.add_class("bnlab-controls")
        heading = ipywidgets.HTML(f"<b>{escape(self.title)}</b>")
        self.widget = ipywidgets.VBox([heading, row, picture, self.caption])
        self._resetting = False

    def control(self, name: str) -> ipywidgets.ValueWidget:
        """The widget of the control called `name`."""
        return self._controls[name]

    @property
    def values(self) -> dict[str, Value]:
        """Where the controls stand."""
        return {name: widget.value for name, widget in self._controls.items()}

    def reset(self) -> None:
        """Return every control to its start, with one redraw."""
        self._resetting = True
        for name, widget in self._controls.items():
            widget.value = self.start[name]
        self._resetting = False
        self.refresh()

    def refresh(self) -> None:
        """Compute and draw for where the controls stand."""
        self.sentence = self.describe(self.show(**self.values))
        if self.layers.settle() or not self.still.value:
            self.still.value = self._svg(self.layers.svg_still())
        self.moving.value = self._svg(self.layers.svg_moving())
        self.caption.value = escape(self.sentence)

    def _svg(self, inside: str) -> str:
        joints = 'stroke-linejoin="round" stroke-linecap="butt"'
        return f'<svg viewBox="{self.layers.view_box}" {joints}>{inside}</svg>'

    def _moved(self, _: object) -> None:
        if not self._resetting:
            self.refresh()

    def _widget(self, control: Control) -> ipywidgets.ValueWidget:
        options = [(control.readout(value), value) for value in control.values]
        chosen = {"options": options, "value": self.start[control.name]}
        if isinstance(control, Choice):
            return _SilentButtons(
                description=control.label,
                tooltips=[f"{control.label}: {text}" for text, _ in options],
                style={"button_width": "auto", "description_width": "initial"},
                layout={"width": "max-content"},
                **chosen,
            )
        return _SilentSlider(
            description=control.label,
            layout={"width": "420px"},
            style={"description_width": "170px"},
            **chosen,
        )

    def _ipython_display_(self) -> None:
        self.refresh()
        picture = base64.b64encode(self.layers.png()).decode()
        width, height = self.size
        display_with_still(
            self.widget,
            style=(
                f"content: '' / {css_string(self.sentence)}; max-width: {100 * width:.0f}px; "
                f"aspect-ratio: {width:g} / {height:g}; "
                f"background: url('data:image/png;base64,{picture}') 0 0 / contain no-repeat;"
            ),
            alt=self.sentence,
            still={"image/png": picture},
        )
