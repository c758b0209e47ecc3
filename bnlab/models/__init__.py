"""The networks of the notebooks; each takes the normalisation to build in.

`norm` is a *norm factory*: anything that takes a number of features and returns a module, such as
`torch.nn.BatchNorm2d`, or None for a network without normalisation. Weights are torch's default
initialisation unless said otherwise; nothing is downloaded. The small networks keep the biases they
have in the tutorials, also where a norm follows and makes them idle. The large ones have a
convolution's bias only where no norm follows, as published.
"""

from bnlab.models.ghost import GhostBatches, in_ghost_batches
from bnlab.models.noise import DistributionNoise
from bnlab.models.published import Residual, lenet, mobilenet_v2, resnet18, resnet50
from bnlab.models.residual import residual_net
from bnlab.models.small import Norm, conv_net, deep_mlp, mlp, two_layer

__all__ = [
    "DistributionNoise",
    "GhostBatches",
    "Norm",
    "Residual",
    "conv_net",
    "deep_mlp",
    "in_ghost_batches",
    "lenet",
    "mlp",
    "mobilenet_v2",
    "residual_net",
    "resnet18",
    "resnet50",
    "two_layer",
]
