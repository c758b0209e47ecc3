"""Known mistakes in what a layer keeps, and when it uses it, and two hints for each."""

from __future__ import annotations

from bnlab.exercises.verdict import Mistake

RUNNING = (
    Mistake(
        "momentum-reversed",
        "momentum weights the old value, as in Keras; in torch it weights the new one.",
        "With momentum 0.1, how much of the old value should be left after one batch?",
        "Set momentum=0. Should the running mean stand still, or jump to the batch's?",
    ),
    Mistake(
        "momentum-reversed-for-mean",
        "For the running mean, though not for the variance, momentum weights the old value.",
        "With momentum 0.1, how much of the old mean should be left after one batch?",
        "Compare your two updates, factor by factor.",
    ),
    Mistake(
        "momentum-reversed-for-var",
        "For the running variance, though not for the mean, momentum weights the old value.",
        "With momentum 0.1, how much of the old variance should be left after one batch?",
        "Compare your two updates, factor by factor.",
    ),
    Mistake(
        "momentum-squared",
        "The new value enters with the square of momentum.",
        "With momentum 0.3, running value 0 and batch value 10: what comes out?",
        "Count how often momentum is multiplied onto the batch's value.",
    ),
    Mistake(
        "momentum-ignored",
        "The momentum that is passed is not used.",
        "With momentum=1, what should the running mean be after one batch?",
        "Search your code for momentum: does the argument reach the average?",
    ),
    Mistake(
        "old-value-kept-whole",
        "The new value is added, but the old one is not made smaller.",
        "Give the same batch a hundred times. Where should the running mean end?",
        "The weights of old and new should add up to 1. Do yours?",
    ),
    Mistake(
        "updated-twice",
        "The running statistics are moved twice for one batch.",
        "Which step is taken once more than it should, for each batch?",
        "Print the running mean at every place that changes it, during a single call.",
    ),
    Mistake(
        "no-update",
        "The running statistics never move.",
        "Print running_mean before and after a batch in train mode.",
        "Does the new value reach the place that it is read from?",
    ),
    Mistake(
        "biased-storing",
        "The biased variance is stored; the running one should get the unbiased.",
        "Running statistics stand for the population. Which estimate of its variance is right on "
        "average?",
        "For n values per channel the two differ by a factor. For n = 3, which one?",
    ),
    Mistake(
        "samples-for-values",
        "The number of samples is taken for n, which counts all values of a channel.",
        "How many values does one channel have in 5 images of 2 rows and 4 columns?",
        "For (N, C) your n is right. What else belongs to a channel of (N, C, H, W)?",
    ),
    Mistake(
        "factor-upside-down",
        "The factor between the two variances is upside down: the stored one should be the larger.",
        "Which is larger, the biased variance or the unbiased one?",
        "For n = 3, by which number is the biased variance multiplied in your code?",
    ),
    Mistake(
        "eps-in-running-var",
        "ε is stored in the running variance.",
        "In eval mode ε is added once more. How often is it then in the root?",
        "Print what you store next to x.var() of a channel. By how much do they differ?",
    ),
    Mistake(
        "std-stored",
        "The standard deviation is stored where the variance should be.",
        "What is the unit of running_var if x is in metres?",
        "Print what you store next to x.var() of a channel.",
    ),
    Mistake(
        "too-many-statistics",
        "Mean and variance are taken over the wrong axes: there is not one of each a channel.",
        "How many means should there be for 5 images with 3 channels?",
        "Print the shape of your mean. Which axis is longer than 1 and should not be?",
    ),
    Mistake(
        "statistics-swapped",
        "Mean and variance have changed places.",
        "Which of the two starts at 0 and which at 1?",
        "Compare the order of what you return, or assign, with the names.",
    ),
    Mistake(
        "running-not-detached",
        "The running statistics hang on the graph: every batch ever seen is kept for backward.",
        "What does running_mean.requires_grad say after a batch?",
        "How do you tell torch that a number is for keeping, not for learning?",
    ),
    Mistake(
        "running-mean-not-detached",
        "The running mean still hangs on the graph: every batch ever seen is kept for backward.",
        "What does requires_grad say after a batch, of running_mean and of running_var?",
        "You cut the variance off the graph. What about its companion?",
    ),
    Mistake(
        "running-var-not-detached",
        "The running variance still hangs on the graph: every batch seen is kept for backward.",
        "What does requires_grad say after a batch, of running_var and of running_mean?",
        "You cut the mean off the graph. What about its companion?",
    ),
    Mistake(
        "variance-around-running-mean",
        "The batch's variance is taken around the running mean, which has just moved.",
        "Around which mean are the residuals of this batch to be squared?",
        "Look at the order of lines: which mean is in your variable when the variance is taken?",
    ),
)

MODES = (
    Mistake(
        "mode-from-grad",
        "Train or eval is read from whether gradients are on, not from the layer's mode.",
        "Someone runs the layer in train mode under torch.no_grad(). What should it use?",
        "Which attribute do model.train() and model.eval() set on every layer?",
    ),
    Mistake(
        "no-grad-means-eval",
        "Under torch.no_grad() a layer in train mode behaves as in eval mode.",
        "Someone runs the layer in train mode under torch.no_grad(). What should it use?",
        "Which attribute do model.train() and model.eval() set, and what else does your code ask?",
    ),
    Mistake(
        "eval-uses-batch",
        "In eval mode the batch's own statistics are used.",
        "In eval mode, may an answer depend on the other samples of the batch?",
        "Put one sample through in eval mode, alone and in company, and compare.",
    ),
    Mistake(
        "updates-in-eval",
        "The running statistics move in eval mode too.",
        "Evaluate twice on the same data. Should the second time give other numbers?",
        "Which lines run in both modes?",
    ),
    Mistake(
        "eval-moves-first",
        "In eval mode the running statistics are moved by the batch, and then used.",
        "Evaluate one sample in other company. May its answer be another?",
        "Which lines run in both modes, and do they run before the running statistics are read?",
    ),
    Mistake(
        "train-uses-updated-running",
        "In train mode the running statistics are used, moved by this batch first.",
        "What are mean and variance of a channel after normalising in train mode?",
        "Which names stand in your division in train mode, and what was done to them just before?",
    ),
    Mistake(
        "train-uses-old-running",
        "In train mode the running statistics are used, as they were before this batch.",
        "What are mean and variance of a channel after normalising in train mode?",
        "Which names stand in your division in train mode?",
    ),
    Mistake(
        "input-detached",
        "The whole input is cut off the graph: no gradient reaches what comes before the layer.",
        "What does x.grad say after y.sum().backward()?",
        "Which values are for keeping only, and which go into the output?",
    ),
)

STATE = (
    Mistake(
        "statistics-not-in-buffers",
        "The running statistics are plain attributes: not saved, and not moved with the layer.",
        "Print layer.state_dict().keys(). What is missing?",
        "How does nn.Module learn that a tensor is state, though nothing to be trained?",
    ),
    Mistake(
        "running-mean-not-in-buffers",
        "running_mean is a plain attribute still: not saved, and not moved with the layer.",
        "Print layer.state_dict().keys(). What is missing?",
        "One of the two statistics is a buffer. Compare the two lines that make them.",
    ),
    Mistake(
        "running-var-not-in-buffers",
        "running_var is a plain attribute still: not saved, and not moved with the layer.",
        "Print layer.state_dict().keys(). What is missing?",
        "One of the two statistics is a buffer. Compare the two lines that make them.",
    ),
    Mistake(
        "statistics-not-saved",
        "The running statistics are not in the state dict, so that saving loses them.",
        "Print layer.state_dict().keys(). What is missing?",
        "Look at the arguments of register_buffer.",
    ),
    Mistake(
        "statistics-not-moved",
        "The running statistics stay behind when the layer's dtype or device changes.",
        "Call layer.double() and print the dtype of running_mean, before and after a batch.",
        "Where are the statistics made, and do .to() and .double() know of that place?",
    ),
    Mistake(
        "statistics-trained",
        "The running statistics are parameters, which an optimizer would train and decay.",
        "Print the names in layer.named_parameters(). Which of them should no optimizer touch?",
        "nn.Module knows two kinds of state. Which is the other?",
    ),
    Mistake(
        "affine-not-parameters",
        "γ and β are no parameters, so that no optimizer sees them.",
        "Print the names in layer.named_parameters(). What is missing?",
        "What makes nn.Module take a tensor for something to be learnt?",
    ),
    Mistake(
        "counter-missing",
        "num_batches_tracked is missing in the state dict, so that torch's files do not fit.",
        "Compare list(layer.state_dict()) with that of torch's own layer.",
        "What does num_batches_tracked count, and of which dtype is it?",
    ),
    Mistake(
        "counter-not-counted",
        "num_batches_tracked does not count the batches seen in train mode.",
        "Print num_batches_tracked after three batches in train mode and one in eval mode.",
        "Which line should run once for each batch in train mode, beside the two averages?",
    ),
    Mistake(
        "cumulative-ignored",
        "momentum=None, which should make all batches count alike, does something else or fails.",
        "After three batches that all count alike, which share does the third have?",
        "The share of the newest batch depends on how many there have been. Where is that kept?",
    ),
    Mistake(
        "affine-false-ignored",
        "affine=False, which should leave out γ and β, does something else or fails.",
        "What should layer.weight be if there is nothing to learn?",
        "Try layer = cls(3, affine=False) and print layer.weight and a batch's output.",
    ),
    Mistake(
        "tracking-false-ignored",
        "track_running_stats=False, with which eval mode has to ask the batch, does something else "
        "or fails.",
        "If nothing is tracked, which statistics are there to use in eval mode?",
        "Try layer = cls(3, track_running_stats=False).eval() and print what a batch gives.",
    ),
)
