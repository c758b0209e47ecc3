// From a key press to the frame that shows its picture, timed inside the page.
window.bnlabBench = {
  // Resolves to milliseconds, or to null if no new picture comes.
  arm(root, patience) {
    const drawn = root.querySelector(".picture");
    let pressed = null;
    this.result = new Promise((resolve) => {
      const finish = (value) => {
        observer.disconnect();
        root.removeEventListener("load", loaded, true);
        clearTimeout(timer);
        resolve(value);
      };
      const painted = () => requestAnimationFrame(() => finish(performance.now() - pressed));
      const loaded = async (event) => {
        if (pressed === null || event.target.tagName !== "IMG") return;
        await event.target.decode();
        painted();
      };
      const observer = new MutationObserver(() => { if (pressed !== null) painted(); });
      if (drawn) observer.observe(drawn, { childList: true, subtree: true });
      else root.addEventListener("load", loaded, true);
      const timer = setTimeout(() => finish(null), patience);
      window.addEventListener("keydown", () => { pressed = performance.now(); },
        { capture: true, once: true });
    });
  },
  // Look at every frame: is the picture there, at its height?
  watch(root) {
    const height = () => this.picture(root)?.getBoundingClientRect().height ?? 0;
    const usual = height();
    this.frames = this.blank = 0;
    this.watching = true;
    const look = () => {
      this.frames += 1;
      if (height() < usual / 2) this.blank += 1;
      if (this.watching) requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  },
  picture(root) {
    const drawn = root.querySelector(".picture");
    if (drawn) return drawn.querySelector(".moving path, .moving use, .moving text") && drawn;
    const image = root.querySelector("img");
    // While the next picture loads, the browser goes on showing the one before.
    return image && !(image.complete && image.naturalWidth === 0) ? image : null;
  },
};
