// `make html` puts this beside MathJax: jupyter_server_mathjax brings this one font, not the default.
MathJax.Hub.Config({
  "HTML-CSS": { availableFonts: [], preferredFont: null, imageFont: null, webFont: "STIX-Web" },
});
MathJax.Ajax.loadComplete("[MathJax]/config/fonts.js");
