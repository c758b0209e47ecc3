(() => {
  const root = document.currentScript.parentElement;
  const data = JSON.parse(root.querySelector('script[type="application/json"]').textContent);
  const make = (tag, parent, properties = {}) =>
    parent.appendChild(Object.assign(document.createElement(tag), properties));
  const serial = (window.bnlabSweeps = (window.bnlabSweeps ?? 0) + 1);

  root.querySelector("img").hidden = true;
  make("b", root, { textContent: data.title });
  const row = make("div", root, { className: "controls" });
  const picture = make("div", root, { className: "picture" });
  picture.setAttribute("role", "img");
  const still = make("div", picture);
  const moving = make("div", picture, { className: "moving" });
  const caption = make("p", root);
  caption.setAttribute("aria-live", "polite");

  const svg = (inside) =>
    `<svg viewBox="${data.viewBox}" stroke-linejoin="round" stroke-linecap="butt">${inside}</svg>`;
  const chosen = data.controls.map((control) => control.start);
  let shown = -1;
  const draw = () => {
    const index = data.controls.reduce((at, c, i) => at * c.texts.length + chosen[i], 0);
    const [layer, pieces, sentence] = data.states[index];
    if (layer !== shown) still.innerHTML = svg(data.stills[(shown = layer)]);
    moving.innerHTML = svg(pieces.map((piece) => data.pieces[piece]).join(""));
    caption.textContent = sentence;
    picture.setAttribute("aria-label", sentence);
    places.forEach((place, i) => place(chosen[i]));
  };

  const slider = (control, i) => {
    const label = make("label", row);
    make("span", label, { textContent: control.label });
    const last = control.texts.length - 1;
    const input = make("input", label, { type: "range", min: 0, max: last, step: 1 });
    input.setAttribute("aria-label", control.label);
    const output = make("output", label);
    input.oninput = () => { chosen[i] = Number(input.value); draw(); };
    return (at) => {
      input.value = at;
      output.textContent = control.texts[at];
      input.setAttribute("aria-valuetext", control.texts[at]);
    };
  };
  const choice = (control, i) => {
    const set = make("fieldset", row);
    set.setAttribute("aria-label", control.label);
    make("span", set, { textContent: control.label });
    const inputs = control.texts.map((text, at) => {
      const label = make("label", set);
      const input = make("input", label, { type: "radio", name: `bnlab-${serial}-${i}` });
      make("span", label, { textContent: text });
      input.onchange = () => { chosen[i] = at; draw(); };
      return input;
    });
    return (at) => { inputs[at].checked = true; };
  };
  const places = data.controls.map((c, i) => (c.kind === "slider" ? slider : choice)(c, i));
  const reset = make("button", row, { type: "button", textContent: "Reset" });
  reset.onclick = () => { data.controls.forEach((c, i) => { chosen[i] = c.start; }); draw(); };

  // The notebook around us would take the arrow keys for its own.
  root.addEventListener("keydown", (event) => event.stopPropagation());
  draw();
})();
