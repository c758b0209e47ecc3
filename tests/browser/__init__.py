"""The notebooks in a real JupyterLab and a real browser: nothing is replaced by a stub."""
