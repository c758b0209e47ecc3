"""Solutions as learners write them, and each mistake as the edit of a line or two that makes it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

FORWARD = """
def fn(x, weight, bias, eps):
    axes = [d for d in range(x.dim()) if d != 1]
    shape = [1, -1] + [1] * (x.dim() - 2)
    mu = x.mean(axes, keepdim=True)
    var = ((x - mu) ** 2).mean(axes, keepdim=True)
    x_hat = (x - mu) / torch.sqrt(var + eps)
    return weight.view(shape) * x_hat + bias.view(shape)
"""
AXES = "axes = [d for d in range(x.dim()) if d != 1]"
SHAPE = "shape = [1, -1] + [1] * (x.dim() - 2)"
ROOT = "torch.sqrt(var + eps)"
WRONG_AXES = {
    "statistics-per-sample": [(AXES, "axes = (2, 3)")],
    "statistics-over-channels": [(AXES, "axes = tuple(range(1, x.dim()))")],
    "statistics-over-everything": [(AXES, "axes = tuple(range(x.dim()))")],
    "statistics-per-position": [(AXES, "axes = 0")],
    "statistics-of-last-axis": [(AXES, "axes = tuple(range(x.dim() - 1))")],
    "statistics-without-last-axis": [(AXES, "axes = (0, 2)")],
    "statistics-without-height": [(AXES, "axes = (0, 3)")],
}
DIMENSIONS = {
    "not-2d": [(AXES, "axes = [d for d in range(x.dim()) if d != 1]; x.shape[2]")],
    "not-5d": [(AXES, "axes = {2: [0], 3: [0, 2], 4: [0, 2, 3], 6: [0]}[x.dim()]")],
    "only-4d": [(AXES, "axes = (0, 2, 3)"), (SHAPE, "shape = (1, -1, 1, 1)")],
}
FORWARD_MISTAKES = {
    "eps-outside-root": [(ROOT, "(torch.sqrt(var) + eps)")],
    "eps-ignored": [(ROOT, "torch.sqrt(var + 1e-5)")],
    "variance-for-root": [(ROOT, "(var + eps)")],
    "unbiased-normalising": [
        ("((x - mu) ** 2).mean(axes, keepdim=True)", "x.var(axes, keepdim=True)")
    ],
    "shortcut-variance": [
        ("((x - mu) ** 2).mean(axes, keepdim=True)", "(x * x).mean(axes, keepdim=True) - mu * mu")
    ],
    "mean-not-subtracted": [("x_hat = (x - mu)", "x_hat = x")],
    "affine-swapped": [("weight.view(shape) * x_hat + bias", "bias.view(shape) * x_hat + weight")],
    "affine-on-last-axis": [
        ("weight.view(shape) * x_hat + bias.view(shape)", "weight * x_hat + bias")
    ],
    "affine-on-batch-axis": [(SHAPE, "shape = [-1] + [1] * (x.dim() - 1)")],
    "gamma-ignored": [("weight.view(shape) * x_hat", "x_hat")],
    "beta-ignored": [(" + bias.view(shape)", "")],
    "beta-before-gamma": [("* x_hat + bias.view(shape)", "* (x_hat + bias.view(shape))")],
    **WRONG_AXES,
    **DIMENSIONS,
    "input-changed": [("    x_hat = (x - mu)", "    x -= mu\n    x_hat = x")],
    "dtype-changed": [("    axes", "    x = x.float()\n    axes")],
}

RUNNING = """
def fn(running_mean, running_var, x, momentum):
    axes = [d for d in range(x.dim()) if d != 1]
    n = x.numel() / x.shape[1]
    mu = x.mean(axes)
    var = x.var(axes)
    with torch.no_grad():
        new_mean = (1 - momentum) * running_mean + momentum * mu
        new_var = (1 - momentum) * running_var + momentum * var
    return new_mean, new_var
"""
OLD_NEW = "(1 - momentum) * running_{0} + momentum * {1}"
BOTH = [OLD_NEW.format("mean", "mu"), OLD_NEW.format("var", "var")]


def both(text: str) -> list[tuple[str, str]]:
    """The same edit of both averages; `@` is the running value and `#` the batch's."""
    names = ("running_mean", "mu"), ("running_var", "var")
    return [
        (old, text.replace("@", r).replace("#", b)) for old, (r, b) in zip(BOTH, names, strict=True)
    ]


RUNNING_MISTAKES = {
    "momentum-reversed": both("momentum * @ + (1 - momentum) * #"),
    "momentum-reversed-for-mean": both("momentum * @ + (1 - momentum) * #")[:1],
    "momentum-reversed-for-var": both("momentum * @ + (1 - momentum) * #")[1:],
    "momentum-squared": both("(1 - momentum ** 2) * @ + momentum ** 2 * #"),
    "momentum-ignored": both("0.9 * @ + 0.1 * #"),
    "old-value-kept-whole": both("@ + momentum * #"),
    "updated-twice": both("(1 - momentum) * ((1 - momentum) * @ + momentum * #) + momentum * #"),
    "no-update": both("@"),
    "biased-storing": [("x.var(axes)", "x.var(axes, unbiased=False)")],
    "samples-for-values": [("x.var(axes)", "x.var(axes, unbiased=False) * len(x) / (len(x) - 1)")],
    "factor-upside-down": [("x.var(axes)", "x.var(axes, unbiased=False) * (n - 1) / n")],
    "std-stored": [("x.var(axes)", "x.std(axes)")],
    "statistics-swapped": [("return new_mean, new_var", "return new_var, new_mean")],
    "shortcut-variance": [("x.var(axes)", "((x ** 2).mean(axes) - mu ** 2) * n / (n - 1)")],
    "variance-around-running-mean": [
        (
            "    var = x.var(axes)",
            "    m = (1 - momentum) * running_mean + momentum * mu\n"
            "    m = m.view(1, -1, *[1] * (x.dim() - 2))\n"
            "    var = ((x - m) ** 2).sum(axes) / (n - 1)",
        )
    ],
    "running-not-detached": [("with torch.no_grad():", "if True:")],
    "running-mean-not-detached": [
        ("with torch.no_grad():", "if True:"),
        ("+ momentum * var", "+ momentum * var.detach()"),
    ],
    "running-var-not-detached": [
        ("with torch.no_grad():", "if True:"),
        ("+ momentum * mu", "+ momentum * mu.detach()"),
    ],
    "statistics-over-everything": WRONG_AXES["statistics-over-everything"],
    "statistics-over-channels": WRONG_AXES["statistics-over-channels"],
    "statistics-of-last-axis": WRONG_AXES["statistics-of-last-axis"],
    "too-many-statistics": [(AXES, "axes = 0")],
    **{slug: DIMENSIONS[slug][:1] for slug in DIMENSIONS},
    "input-changed": [("    with torch", "    x -= 1\n    with torch")],
    "dtype-changed": [("return new_mean, new_var", "return new_mean.float(), new_var.float()")],
}

BACKWARD = """
def fn(grad_output, x, weight, eps):
    axes = [d for d in range(x.dim()) if d != 1]
    shape = [1, -1] + [1] * (x.dim() - 2)
    cells = [d for d in range(x.dim()) if d != 1]
    n = x.numel() / x.shape[1]
    mu = x.mean(axes, keepdim=True)
    var = ((x - mu) ** 2).mean(axes, keepdim=True)
    inv = 1 / torch.sqrt(var + eps)
    x_hat = (x - mu) * inv
    dx_hat = grad_output * weight.view(shape)
    through_mu = dx_hat.mean(axes, keepdim=True)
    through_var = x_hat * (dx_hat * x_hat).mean(axes, keepdim=True)
    dx = inv * (dx_hat - through_mu - through_var)
    dweight = (grad_output * x_hat).sum(cells)
    dbias = grad_output.sum(cells)
    return dx, dweight, dbias
"""
BACKWARD_MISTAKES = {
    "not-through-mean": [(" - through_mu", "")],
    "not-through-variance": [(" - through_var", "")],
    "not-through-statistics": [(" - through_mu - through_var", "")],
    "sum-for-mean": [
        ("dx_hat.mean(axes", "dx_hat.sum(axes"),
        ("(dx_hat * x_hat).mean(axes", "(dx_hat * x_hat).sum(axes"),
    ],
    "root-not-divided-by": [("inv * (dx_hat", "(dx_hat")],
    "gamma-ignored": [(" * weight.view(shape)", "")],
    "gamma-gradient-of-input": [("(grad_output * x_hat).sum", "(grad_output * x).sum")],
    "affine-gradients-averaged": [("sum(cells)", "mean(cells)")],
    "affine-gradients-swapped": [("dx, dweight, dbias", "dx, dbias, dweight")],
    "affine-on-last-axis": [("weight.view(shape)", "weight")],
    "eps-outside-root": [(ROOT, "(torch.sqrt(var) + eps)")],
    "eps-ignored": [(" + eps", "")],
    "variance-for-root": [(ROOT, "(var + eps)")],
    "unbiased-normalising": [
        ("((x - mu) ** 2).mean(axes, keepdim=True)", "x.var(axes, keepdim=True)")
    ],
    **WRONG_AXES,
    **DIMENSIONS,
    "input-changed": [("    dx_hat =", "    x.sub_(mu)\n    dx_hat =")],
    "dtype-changed": [("return dx", "return dx.float()")],
}

LAYER = """
class Layer(nn.Module):
    def __init__(self, num_features, eps=1e-5, momentum=0.1, affine=True, track_running_stats=True):
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.track_running_stats = track_running_stats
        if affine:
            self.weight = nn.Parameter(torch.ones(num_features))
            self.bias = nn.Parameter(torch.zeros(num_features))
        else:
            self.register_parameter("weight", None)
            self.register_parameter("bias", None)
        if track_running_stats:
            self.register_buffer("running_mean", torch.zeros(num_features))
            self.register_buffer("running_var", torch.ones(num_features))
            self.register_buffer("num_batches_tracked", torch.tensor(0))
        else:
            self.running_mean = self.running_var = self.num_batches_tracked = None

    def forward(self, x):
        axes = [d for d in range(x.dim()) if d != 1]
        shape = [1, -1] + [1] * (x.dim() - 2)
        eps = self.eps
        n = x.numel() / self.num_features
        training = self.training
        if training or self.running_mean is None:
            mu = x.mean(axes, keepdim=True)
            var = ((x - mu) ** 2).mean(axes, keepdim=True)
        else:
            mu, var = self.running_mean.view(shape), self.running_var.view(shape)
        if training and self.running_mean is not None:
            self.update(mu, var, n)
        x_hat = (x - mu) / torch.sqrt(var + eps)
        if self.weight is None:
            return x_hat
        weight, bias = self.weight, self.bias
        return weight.view(shape) * x_hat + bias.view(shape)

    def update(self, mu, var, n):
        with torch.no_grad():
            self.num_batches_tracked += 1
            m = self.momentum
            if m is None:
                m = 1 / self.num_batches_tracked.item()
            mu, var = mu.squeeze(), var.squeeze() * n / (n - 1)
            self.running_mean = (1 - m) * self.running_mean + m * mu
            self.running_var = (1 - m) * self.running_var + m * var
"""
LINES = [
    "self.running_mean = (1 - m) * self.running_mean + m * mu",
    "self.running_var = (1 - m) * self.running_var + m * var",
]


def lines(text: str) -> list[tuple[str, str]]:
    """The same edit of both updates of the layer."""
    names = ("self.running_mean", "mu"), ("self.running_var", "var")
    return [
        (old, text.replace("@", r).replace("#", b))
        for old, (r, b) in zip(LINES, names, strict=True)
    ]


BATCH = "if training or self.running_mean is None:"
UPDATES = "if training and self.running_mean is not None:"
NORMALISES = "        x_hat = (x - mu) /"
MODE_MISTAKES = {
    "mode-from-grad": [("training = self.training", "training = torch.is_grad_enabled()")],
    "no-grad-means-eval": [
        ("training = self.training", "training = self.training and torch.is_grad_enabled()")
    ],
    "no-update": [(UPDATES, "if False:")],
    "eval-uses-batch": [(BATCH, "if True:")],
    "updates-in-eval": [
        (
            UPDATES,
            "if not training and self.running_mean is not None:\n"
            "            found = torch.var_mean(x, axes, correction=0, keepdim=True)\n"
            "            self.update(found[1], found[0], n)\n"
            f"        {UPDATES}",
        )
    ],
    "eval-moves-first": [
        (
            BATCH,
            "if not training and self.running_mean is not None:\n"
            "            found = torch.var_mean(x, axes, correction=0, keepdim=True)\n"
            "            self.update(found[1], found[0], n)\n"
            f"        {BATCH}",
        )
    ],
    "train-uses-updated-running": [
        (
            NORMALISES,
            "        if self.running_mean is not None:\n"
            "            mu, var = self.running_mean.view(shape), self.running_var.view(shape)\n"
            + NORMALISES,
        )
    ],
    "train-uses-old-running": [
        (
            "        if training and",
            "        old = self.running_mean, self.running_var\n        if training and",
        ),
        (
            NORMALISES,
            "        if old[0] is not None:\n"
            "            mu, var = old[0].view(shape), old[1].view(shape)\n" + NORMALISES,
        ),
    ],
    "input-detached": [("forward(self, x):\n", "forward(self, x):\n        x = x.detach()\n")],
}
RUNNING_LAYER_MISTAKES = {
    "momentum-reversed": lines("@ = m * @ + (1 - m) * #"),
    "momentum-reversed-for-mean": lines("@ = m * @ + (1 - m) * #")[:1],
    "momentum-reversed-for-var": lines("@ = m * @ + (1 - m) * #")[1:],
    "momentum-squared": lines("@ = (1 - m ** 2) * @ + m ** 2 * #"),
    "momentum-ignored": [("m = self.momentum\n", "m = 0.1 if self.momentum else None\n")],
    "old-value-kept-whole": lines("@ += m * #"),
    "updated-twice": lines("@ = (1 - m) * @ + m * #; @ = (1 - m) * @ + m * #"),
    "biased-storing": [(" * n / (n - 1)", "")],
    "factor-upside-down": [("* n / (n - 1)", "* (n - 1) / n")],
    "eps-in-running-var": [("* n / (n - 1)", "* n / (n - 1) + self.eps")],
    "std-stored": [("var.squeeze() * n / (n - 1)", "(var.squeeze() * n / (n - 1)).sqrt()")],
    "running-not-detached": [("with torch.no_grad():", "if True:")],
    "running-mean-not-detached": [
        ("with torch.no_grad():", "if True:"), ("+ m * var", "+ m * var.detach()")
    ],
    "running-var-not-detached": [
        ("with torch.no_grad():", "if True:"), ("+ m * mu", "+ m * mu.detach()")
    ],
    "variance-around-running-mean": [
        ("self.update(mu, var, n)", "self.update(mu, var, n, x, axes, shape)"),
        ("def update(self, mu, var, n):", "def update(self, mu, var, n, x, axes, shape):"),
        (LINES[1], "var = ((x - self.running_mean.view(shape)) ** 2).sum(axes) / (n - 1)\n"
         f"            {LINES[1]}"),
    ],
}  # fmt: skip
BUFFERS = [
    'self.register_buffer("running_mean", torch.zeros(num_features))',
    'self.register_buffer("running_var", torch.ones(num_features))',
]


def buffers(mean: str, var: str) -> list[tuple[str, str]]:
    return list(zip(BUFFERS, (mean, var), strict=True))


STATE_MISTAKES = {
    "statistics-not-in-buffers": buffers(
        "self.running_mean = torch.zeros(num_features)",
        "self.running_var = torch.ones(num_features)",
    ),
    "running-mean-not-in-buffers": [
        (BUFFERS[0], "self.running_mean = torch.zeros(num_features)")
    ],
    "running-var-not-in-buffers": [
        (BUFFERS[1], "self.running_var = torch.ones(num_features)")
    ],
    "statistics-not-saved": [
        (old, old[:-1] + ", persistent=False)") for old in BUFFERS
    ],
    "statistics-not-moved": [
        (
            "    def forward",
            "    def _apply(self, fn, recurse=True):\n"
            "        kept = self.running_mean, self.running_var\n"
            "        super()._apply(fn, recurse)\n"
            "        self.running_mean, self.running_var = kept\n"
            "        return self\n\n    def forward",
        )
    ],
    "statistics-trained": [
        *buffers(
            "self.running_mean = nn.Parameter(torch.zeros(num_features), requires_grad=False)",
            "self.running_var = nn.Parameter(torch.ones(num_features), requires_grad=False)",
        ),
        *lines("@.copy_((1 - m) * @ + m * #)"),
    ],
    "affine-not-parameters": [
        (f"nn.Parameter({made})", f"{made}.requires_grad_()")
        for made in ("torch.ones(num_features)", "torch.zeros(num_features)")
    ],
    "counter-missing": [
        ('self.register_buffer("num_batches_tracked", torch.tensor(0))', "self.batches = 0"),
        ("self.num_batches_tracked += 1", "self.batches += 1"),
        ("self.num_batches_tracked.item()", "self.batches"),
    ],
    "counter-not-counted": [
        ("super().__init__()", "super().__init__()\n        self.batches = 0"),
        ("self.num_batches_tracked += 1", "self.batches += 1"),
        ("self.num_batches_tracked.item()", "self.batches"),
    ],
    "cumulative-ignored": [("m = 1 / self.num_batches_tracked.item()", "m = 0.1")],
    "affine-false-ignored": [("if affine:", "if True:")],
    "tracking-false-ignored": [
        ("if track_running_stats:", "if True:"),
    ],
}  # fmt: skip
LAYER_MISTAKES = {
    **{slug: FORWARD_MISTAKES[slug] for slug in FORWARD_MISTAKES if slug != "dtype-changed"},
    "unbiased-normalising": [
        ("((x - mu) ** 2).mean(axes, keepdim=True)", "x.var(axes, keepdim=True)"),
        (" * n / (n - 1)", ""),
    ],
    "eps-ignored": [("eps = self.eps", "eps = 1e-5")],
    "input-changed": [(NORMALISES, "        x -= mu\n        mu = 0\n" + NORMALISES)],
    **RUNNING_LAYER_MISTAKES,
    "samples-for-values": [("n = x.numel() / self.num_features", "n = len(x)")],
    **MODE_MISTAKES,
    "not-through-mean": [(NORMALISES, "        mu = mu.detach()\n" + NORMALISES)],
    "not-through-variance": [(NORMALISES, "        var = var.detach()\n" + NORMALISES)],
    "not-through-statistics": [
        (NORMALISES, "        mu, var = mu.detach(), var.detach()\n" + NORMALISES)
    ],
    **STATE_MISTAKES,
}


def write(source: str, *edits: tuple[str, str]) -> Any:
    """Make the function or class of a source, after edits of it."""
    for old, new in edits:
        assert old in source, f"{old!r} is not in the source"
        source = source.replace(old, new)
    names: dict[str, Any] = {"torch": torch, "nn": nn}
    exec(source, names)
    return names["Layer"] if "Layer" in names else names["fn"]
