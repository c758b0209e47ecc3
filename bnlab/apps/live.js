// What the widgets leave out for a screen reader: names for slider handles, a text for the picture.
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
  };
  name();
  if (window.bnlabNaming) return;
  window.bnlabNaming = new MutationObserver(name);
  window.bnlabNaming.observe(document.body, { childList: true, subtree: true });
})();
