// What the widgets leave out: names for slider handles and a text for the picture, which screen
// readers need, and the grouping of radio buttons, without which arrow keys do not move among them.
(() => {
  const name = () => {
    for (const handle of document.querySelectorAll(".bnlab-live .noUi-handle:not([aria-label])")) {
      const label = handle.closest(".widget-inline-hbox")?.querySelector(".widget-label");
      if (label?.textContent) handle.setAttribute("aria-label", label.textContent);
    }
    for (const image of document.querySelectorAll(".bnlab-live img.widget-image")) {
      const caption = image.closest(".bnlab-live").querySelector(".bnlab-caption");
      if (caption && image.alt !== caption.textContent) image.alt = caption.textContent;
    }
    for (const radio of document.querySelectorAll(".bnlab-prediction input:not([name])")) {
      const group = radio.closest(".bnlab-prediction");
      group.dataset.serial ??= window.bnlabGroups = (window.bnlabGroups ?? 0) + 1;
      radio.name = `bnlab-prediction-${group.dataset.serial}`;
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
