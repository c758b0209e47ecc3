"""Sources and edits for group norm, folding, freezing and saving, as in `sources`."""

GROUP_NORM = """
def fn(x, num_groups, weight, bias, eps):
    N, C = x.shape[:2]
    shape = [1, -1] + [1] * (x.dim() - 2)
    grouped = x.reshape(N, num_groups, C // num_groups, -1)
    mu = grouped.mean((2, 3), keepdim=True)
    var = ((grouped - mu) ** 2).mean((2, 3), keepdim=True)
    x_hat = (grouped - mu) / torch.sqrt(var + eps)
    x_hat = x_hat.reshape(x.shape)
    return weight.view(shape) * x_hat + bias.view(shape)
"""
GROUPED = "grouped = x.reshape(N, num_groups, C // num_groups, -1)"
BACK = "x_hat = x_hat.reshape(x.shape)"
VARIANCE = "((grouped - mu) ** 2).mean((2, 3), keepdim=True)"
ROOT = "torch.sqrt(var + eps)"
AFFINE = "weight.view(shape) * x_hat + bias.view(shape)"
GROUP_NORM_MISTAKES = {
    "size-for-number": [(GROUPED, "grouped = x.reshape(N, C // num_groups, num_groups, -1)")],
    "groups-ignored": [(GROUPED, "grouped = x.reshape(N, 1, C, -1)")],
    "channels-on-their-own": [(GROUPED, "grouped = x.reshape(N, C, 1, -1)")],
    "channels-interleaved": [
        (GROUPED, "grouped = x.reshape(N, C // num_groups, num_groups, -1).transpose(1, 2)"),
        (BACK, "x_hat = x_hat.transpose(1, 2).reshape(x.shape)"),
    ],
    "statistics-over-batch": [("(2, 3)", "(0, 2, 3)")],
    "positions-on-their-own": [("(2, 3)", "2")],
    "eps-outside-root": [(ROOT, "(torch.sqrt(var) + eps)")],
    "eps-ignored": [(ROOT, "torch.sqrt(var + 1e-6)")],
    "variance-for-root": [(ROOT, "(var + eps)")],
    "unbiased-normalising": [(VARIANCE, "grouped.var((2, 3), keepdim=True)")],
    "shortcut-variance": [(VARIANCE, "(grouped ** 2).mean((2, 3), keepdim=True) - mu ** 2")],
    "mean-not-subtracted": [("x_hat = (grouped - mu)", "x_hat = grouped")],
    "affine-swapped": [(AFFINE, "bias.view(shape) * x_hat + weight.view(shape)")],
    "affine-on-last-axis": [(AFFINE, "weight * x_hat + bias")],
    "affine-on-batch-axis": [("[1, -1] + [1] * (x.dim() - 2)", "[-1] + [1] * (x.dim() - 1)")],
    "gamma-ignored": [(AFFINE, "x_hat + bias.view(shape)")],
    "beta-ignored": [(AFFINE, "weight.view(shape) * x_hat")],
    "beta-before-gamma": [(AFFINE, "weight.view(shape) * (x_hat + bias.view(shape))")],
    "not-2d": [("N, C = x.shape[:2]", "N, C, L = x.shape[:3]")],
    "not-5d": [("N, C = x.shape[:2]", "N, C = x.shape[:2]; assert x.dim() < 5")],
    "only-4d": [("N, C = x.shape[:2]", "N, C, H, W = x.shape")],
    "input-changed": [("    mu = ", "    grouped += 1\n    mu = ")],
    "dtype-changed": [("    N, C", "    x = x.to(torch.float32)\n    N, C")],
}

FOLDING = """
def fn(layer, norm):
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    b = layer.bias if layer.bias is not None else torch.zeros_like(norm.running_mean)
    W = layer.weight * scale.reshape(-1, *(1,) * (layer.weight.dim() - 1))
    return W, (b - norm.running_mean) * scale + norm.bias
"""
BIAS = "(b - norm.running_mean) * scale + norm.bias"
SCALE_VIEW = "scale.reshape(-1, *(1,) * (layer.weight.dim() - 1))"
FOLDING_MISTAKES = {
    "eps-ignored": [(" + norm.eps", "")],
    "eps-outside-root": [
        ("torch.sqrt(norm.running_var + norm.eps)", "(norm.running_var.sqrt() + norm.eps)")
    ],
    "variance-for-root": [
        ("torch.sqrt(norm.running_var + norm.eps)", "(norm.running_var + norm.eps)")
    ],
    "gamma-ignored": [("norm.weight /", "1 /")],
    "beta-ignored": [(BIAS, "(b - norm.running_mean) * scale")],
    "weight-not-scaled": [(f"layer.weight * {SCALE_VIEW}", "layer.weight")],
    "scaled-along-inputs": [(SCALE_VIEW, "scale.view(1, -1, *(1,) * (layer.weight.dim() - 2))")],
    "running-mean-ignored": [(BIAS, "b * scale + norm.bias")],
    "running-mean-not-scaled": [(BIAS, "b * scale - norm.running_mean + norm.bias")],
    "old-bias-ignored": [(BIAS, "norm.bias - norm.running_mean * scale")],
    "old-bias-not-scaled": [(BIAS, "b + norm.bias - norm.running_mean * scale")],
    "beta-scaled": [(BIAS, "(b - norm.running_mean + norm.bias) * scale")],
    "missing-bias-fails": [
        (
            "layer.bias if layer.bias is not None else torch.zeros_like(norm.running_mean)",
            "layer.bias",
        )
    ],
    "linear-only": [(SCALE_VIEW, "scale[:, None]")],
    "convolution-only": [(SCALE_VIEW, "scale.view(-1, 1, 1, 1)")],
    "layer-changed": [("    return", "    layer.weight.data = W.data\n    return")],
}

FREEZING = """
def fn(model):
    def stay(mode=True):
        pass
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)):
            module.weight.requires_grad = False
            module.bias.requires_grad = False
            module.eval()
            module.train = stay
    return model
"""
FOR_GOOD = "            module.eval()\n            module.train = stay\n"
FREEZING_MISTAKES = {
    "statistics-not-frozen": [(FOR_GOOD, "")],
    "eval-undone-by-train": [("            module.train = stay\n", "")],
    "affine-not-frozen": [("requires_grad = False", "requires_grad = True")],
    "momentum-zero": [(FOR_GOOD, "            module.momentum = 0\n")],
    "tracking-switched-off": [(FOR_GOOD, "            module.track_running_stats = False\n")],
    "nested-missed": [("model.modules()", "model")],
    "2d-missed": [("nn.BatchNorm2d, ", "")],
    "1d-missed": [("(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)", "nn.BatchNorm2d")],
    "everything-frozen": [
        (
            "    return model",
            "    for p in model.parameters(): p.requires_grad = False\n    return model",
        )
    ],
    "model-in-eval": [
        ("    return model", "    model.eval(); model.train = stay\n    return model")
    ],
    "statistics-reset": [(FOR_GOOD, FOR_GOOD + "            module.reset_running_stats()\n")],
}

SAVING = """
def fn(model, path):
    state = model.state_dict()
    torch.save(state, path)
"""
STATE = "state = model.state_dict()"
SAVING_MISTAKES = {
    "parameters-only": [(STATE, "state = {n: p.data for n, p in model.named_parameters()}")],
    "counter-lost": [
        (STATE, "state = {n: t for n, t in model.state_dict().items() if 'num_' not in n}")
    ],
    "buffers-only": [(STATE, "state = dict(model.named_buffers())")],
    "biases-lost": [
        (STATE, "state = {n: t for n, t in model.state_dict().items() if 'bias' not in n}")
    ],
    "whole-model": [(STATE, "state = model")],
    "names-changed": [(STATE, "state = nn.DataParallel(model).state_dict()")],
    "rounded": [(STATE, "import copy; state = copy.deepcopy(model).half().state_dict()")],
    "model-changed": [("    torch.save", "    model.eval()\n    torch.save")],
    "statistics-moved": [(STATE, "x = torch.ones(4, 2) * 3; model(x); state = model.state_dict()")],
}
