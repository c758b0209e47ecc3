// In every page under test: when a picture last changed, and what it shows.
window.bnlabTest = {
  changes: 0,
  changedAt: 0,
  busyAt: 0,
  // The picture as text: an SVG's markup, or, of a naive explorer, a PNG as a data address.
  async picture(root) {
    const drawn = root.querySelector(".picture");
    if (drawn) return drawn.innerHTML;
    const image = root.querySelector("img");
    const blob = await (await fetch(image.src)).blob();
    return new Promise((resolve) => {
      const reader = new FileReader();
      reader.onload = () => resolve(reader.result);
      reader.readAsDataURL(blob);
    });
  },
  // Compared here, since a drawing is long to send.
  async remember(root) { this.remembered = await this.picture(root); },
  async differs(root) { return (await this.picture(root)) !== this.remembered; },
};
new MutationObserver((records) => {
  const inside = (node) => node.parentElement?.closest(".bnlab-live, .bnlab-sweep .picture");
  if (!records.some((record) => inside(record.target))) return;
  window.bnlabTest.changes += 1;
  window.bnlabTest.changedAt = performance.now();
}).observe(document, { attributes: true, attributeFilter: ["src"], childList: true, subtree: true });
