// What the widgets leave out: names for slider handles and a text for the picture, which screen
// readers need, and the grouping of radio buttons, without which arrow keys do not move among them.
(() => {
  // A live collection, so that a change elsewhere in a long notebook costs next to nothing.
  const roots = document.getElementsByClassName("bnlab-live");
  const name = () => {
    for (const root of roots) {
      for (const handle of root.querySelectorAll(".noUi-handle:not([aria-label])")) {
        const label = handle.closest(".widget-inline-hbox")?.querySelector(".widget-label");
        if (label?.textContent) handle.setAttribute("aria-label", label.textContent);
      }
      const picture = root.querySelector(".picture");
      const caption = root.querySelector(".bnlab-caption")?.textContent;
      if (picture && caption && picture.getAttribute("aria-label") !== caption) {
        picture.setAttribute("role", "img");
        picture.setAttribute("aria-label", caption);
      }
      for (const radio of root.querySelectorAll(".bnlab-prediction input:not([name])")) {
        const group = radio.closest(".bnlab-prediction");
        group.dataset.serial ??= window.bnlabGroups = (window.bnlabGroups ?? 0) + 1;
        radio.name = `bnlab-prediction-${group.dataset.serial}`;
      }
    }
  };
  name();
  if (window.bnlabNaming) return;
  window.bnlabNaming = new MutationObserver(name);
  window.bnlabNaming.observe(document.body, { childList: true, subtree: true });
  // The notebook would take the arrow keys to move among its cells.
  window.addEventListener("keydown", (event) => {
    const answering = event.target.closest?.(".bnlab-prediction") && event.key.startsWith("Arrow");
    if (answering) event.stopPropagation();
  }, true);
})();
