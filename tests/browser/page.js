// In every page under test: when a picture last changed, what it shows, and what it waits for.
window.bnlabTest = {
  changedAt: 0,
  busyAt: 0,
  all: new WeakMap(),
  remembered: {},
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
  async remember(root, moment) { this.remembered[moment] = await this.picture(root); },
  async differs(root, moment) { return (await this.picture(root)) !== this.remembered[moment]; },
  verdicts: () => [...document.querySelectorAll(".bnlab-verdict")].map((each) => each.innerText),
  // From now on, keep which of the page's messages the kernel has not worked off, and, before
  // each press, begin to count anew for how many frames there has been none.
  listen() {
    const { kernel } = jupyterapp.shell.currentWidget.sessionContext.session;
    this.calm = 0;
    this.unanswered = this.all.get(kernel) ?? new Set();
    if (this.all.has(kernel)) return;
    const unanswered = this.unanswered;
    this.all.set(kernel, unanswered);
    kernel.anyMessage.connect((_, { msg, direction }) => {
      if (direction === "send" && msg.channel === "shell") unanswered.add(msg.header.msg_id);
    });
    // Emitted once the page has dealt with a message: here, with all that came before "idle".
    kernel.iopubMessage.connect((_, { content, parent_header }) => {
      if (content.execution_state === "idle") unanswered.delete(parent_header.msg_id);
    });
  },
  // Not in the first frame, since an answer may make the page send more.
  answered() {
    this.calm = this.unanswered.size ? 0 : this.calm + 1;
    return this.calm > 2;
  },
};
new MutationObserver((records) => {
  const inside = (node) => node.parentElement?.closest(".bnlab-live, .bnlab-sweep .picture");
  if (!records.some((record) => inside(record.target))) return;
  window.bnlabTest.changedAt = performance.now();
}).observe(document, { attributes: true, attributeFilter: ["src"], childList: true, subtree: true });
