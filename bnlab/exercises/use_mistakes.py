"""Known mistakes in grouping, folding, freezing and saving, and two hints for each."""

from __future__ import annotations

from bnlab.exercises.verdict import Mistake

GROUPS = (
    Mistake(
        "size-for-number",
        "num_groups is taken for the number of channels in a group.",
        "With 6 channels and num_groups=3, how many channels does a group have?",
        "Print the shape after your reshape, for 6 channels and 3 groups.",
    ),
    Mistake(
        "groups-ignored",
        "All channels of a sample share one mean: there is a single group, whatever num_groups is.",
        "How many means should there be for one sample and num_groups=3?",
        "Print the shape of your mean. Does num_groups reach it?",
    ),
    Mistake(
        "channels-on-their-own",
        "Each channel has its own mean and variance, as in instance norm.",
        "How many means should there be for one sample and num_groups=3?",
        "Print the shape of your mean. Over which axis, too, should it be taken?",
    ),
    Mistake(
        "channels-interleaved",
        "Each group takes every so-manieth channel; it should take neighbours.",
        "Which channels are in the first of 2 groups of (0, 1, 2, 3)?",
        "Reshape torch.arange(6) as you reshape the channels, and read the groups.",
    ),
    Mistake(
        "statistics-over-batch",
        "Mean and variance are taken over the batch as well.",
        "May a sample's output change when another sample of the batch does?",
        "Print the shape of your mean. Along which axis does it miss the samples?",
    ),
    Mistake(
        "positions-on-their-own",
        "Each position has its own mean: height and width are left out.",
        "How many values share a mean in a sample of shape (6, H, W) with num_groups=3?",
        "Print the shape of your mean, with keepdim=True. Which sizes should be 1?",
    ),
)

FOLDING = (
    Mistake(
        "weight-not-scaled",
        "The weight is left as it was: only the bias is folded.",
        "Give the layer an input twice as large. By how much should the output grow?",
        "Write out γ (Wx + b - μ)/σ + β and collect what is multiplied by x.",
    ),
    Mistake(
        "scaled-along-inputs",
        "The weight is scaled along its inputs; the norm comes after the layer, on its outputs.",
        "Which axis of layer.weight is the one of the outputs?",
        "Scale only output channel 0, by hand, in a Linear(2, 3). Which entries change?",
    ),
    Mistake(
        "running-mean-ignored",
        "The running mean is left out of the bias.",
        "What comes out of layer and norm for the input 0?",
        "Write out γ (Wx + b - μ)/σ + β and collect what is not multiplied by x.",
    ),
    Mistake(
        "running-mean-not-scaled",
        "The running mean is subtracted as it is; the norm scales it like everything else.",
        "Is μ subtracted before the norm divides, or after?",
        "Write out γ (Wx + b - μ)/σ + β and collect what is not multiplied by x.",
    ),
    Mistake(
        "old-bias-ignored",
        "The layer's own bias is lost.",
        "What comes out of layer and norm for the input 0?",
        "Search your code for layer.bias: does it reach the result?",
    ),
    Mistake(
        "old-bias-not-scaled",
        "The layer's own bias is added as it is; the norm scales it like everything else.",
        "Is b added before the norm divides, or after?",
        "Write out γ (Wx + b - μ)/σ + β and collect what is not multiplied by x.",
    ),
    Mistake(
        "beta-scaled",
        "β is scaled; the norm adds it after scaling.",
        "Is β added before the norm divides, or after?",
        "Write out γ (Wx + b - μ)/σ + β and collect what is not multiplied by x.",
    ),
    Mistake(
        "missing-bias-fails",
        "A layer without bias fails, or comes out wrong.",
        "What is layer.bias after nn.Linear(2, 2, bias=False)?",
        "Which number stands for a bias that is not there?",
    ),
    Mistake(
        "linear-only",
        "It works for nn.Linear alone: a convolution fails, or comes out wrong.",
        "How many axes has the weight of a convolution?",
        "View the scale so that it broadcasts along the first axis of a weight of any dim().",
    ),
    Mistake(
        "convolution-only",
        "It works for convolutions alone: nn.Linear fails, or comes out wrong.",
        "How many axes has the weight of nn.Linear?",
        "View the scale so that it broadcasts along the first axis of a weight of any dim().",
    ),
    Mistake(
        "layer-changed",
        "The layer or the norm is changed; the result should be new tensors.",
        "Fold the same pair twice. Does the same come out?",
        "Which operations write into their left side? Look for names that end in _, *= and .data.",
    ),
)

FREEZING = (
    Mistake(
        "statistics-not-frozen",
        "γ and β are frozen, but the running statistics move on: they need no gradient for that.",
        "What moves running_mean: the optimizer, or a forward pass?",
        "Print running_mean before and after model(x) in train mode. On what does it depend?",
    ),
    Mistake(
        "eval-undone-by-train",
        "The norms are put in eval mode once, and the next model.train() undoes it.",
        "What does model.train() do to every module in it?",
        "After your function call model.train() and print norm.training. How could a norm let "
        "that call pass?",
    ),
    Mistake(
        "affine-not-frozen",
        "The statistics stay, but γ and β still learn.",
        "Which of the norm's parameters does the optimizer get?",
        "Print p.requires_grad for all parameters of a norm.",
    ),
    Mistake(
        "momentum-zero",
        "momentum=0 holds the running statistics, but in train mode the batch's are used.",
        "In train mode, does an output still depend on the other samples of the batch?",
        "Momentum says how statistics move. What says which statistics are used?",
    ),
    Mistake(
        "tracking-switched-off",
        "With track_running_stats=False nothing moves, but in train mode the batch's are used.",
        "In train mode, does an output still depend on the other samples of the batch?",
        "Tracking says whether statistics are kept. What says which statistics are used?",
    ),
    Mistake(
        "nested-missed",
        "Norms inside of other modules are missed.",
        "How deep does model.children() look?",
        "List what your loop visits, for a Sequential in a Sequential.",
    ),
    Mistake(
        "1d-missed",
        "Not every kind of batch norm is found: BatchNorm1d is missed.",
        "For which classes does your code ask?",
        "List the classes of all modules that you freeze, in a model with a BatchNorm1d.",
    ),
    Mistake(
        "2d-missed",
        "Not every kind of batch norm is found: BatchNorm2d is missed.",
        "For which classes does your code ask?",
        "List the classes of all modules that you freeze, in a model with a BatchNorm2d.",
    ),
    Mistake(
        "everything-frozen",
        "All layers are frozen, not only the batch norms.",
        "Which parameters should the optimizer's next step still change?",
        "Whose parameters() are you looping over?",
    ),
    Mistake(
        "model-in-eval",
        "The whole model is held in eval mode, dropout too.",
        "After model.train(), in which mode should dropout be?",
        "On which module do you replace or call train()?",
    ),
    Mistake(
        "statistics-reset",
        "The running statistics are set back, and what was learnt is lost.",
        "What were running_mean and running_var before your function, and after it?",
        "Freezing keeps values. Which line of yours writes them?",
    ),
)

SAVING = (
    Mistake(
        "parameters-only",
        "Only the parameters are saved: running statistics and counter are lost.",
        "What does the layer need in eval mode that no optimizer trains?",
        "Compare the names in your file with those in model.state_dict().",
    ),
    Mistake(
        "counter-lost",
        "num_batches_tracked is lost.",
        "What does momentum=None need to know when training goes on?",
        "Compare the names in your file with those in model.state_dict().",
    ),
    Mistake(
        "buffers-only",
        "Only the buffers are saved: the parameters are lost.",
        "What did the optimizer change in all that time?",
        "Compare the names in your file with those in model.state_dict().",
    ),
    Mistake(
        "biases-lost",
        "The biases, β among them, are lost.",
        "Which names in the model end in bias?",
        "Compare the names in your file with those in model.state_dict().",
    ),
    Mistake(
        "whole-model",
        "The file holds Python objects, such as the model itself: reading it back runs what is in "
        "it, and needs the same source.",
        "What would a stranger's file be allowed to do to you while it is read?",
        "A file of names and tensors needs no code. What gives you exactly those?",
    ),
    Mistake(
        "names-changed",
        "The names in the file are not those of the model's state dict.",
        "Try model.load_state_dict on what you saved. What does it say?",
        "Compare the names in your file with those in model.state_dict().",
    ),
    Mistake(
        "rounded",
        "The values are rounded to fewer digits.",
        "Is what you load equal to what you saved, bit for bit?",
        "Print the dtype of each tensor in the file.",
    ),
    Mistake(
        "model-changed",
        "Saving leaves the model in another mode: training would go on in eval mode.",
        "What does model.training say before your function, and after it?",
        "Which of your lines changes the model, and does the state dict depend on it?",
    ),
    Mistake(
        "statistics-moved",
        "A batch is run in train mode on the way, which moves the running statistics.",
        "Print running_mean before and after your function.",
        "Which of your lines runs the model, and what for?",
    ),
)
