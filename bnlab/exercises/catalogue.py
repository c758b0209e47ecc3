"""Known mistakes in batch normalisation, in words: what it is, a hint, a stronger hint."""

from __future__ import annotations

from bnlab.exercises.verdict import Mistake

ARITHMETIC = (
    Mistake(
        "eps-outside-root",
        "ε is added to the standard deviation, after the root is taken.",
        "What is it that ε keeps away from 0: the variance or its root?",
        "Follow a channel of variance 0 through your division and through the formula's, with "
        "ε = 0.01. By what does each divide?",
    ),
    Mistake(
        "eps-ignored",
        "The ε that is passed is not used, or another one is.",
        "What should come out for a channel in which all values are equal, and what for a huge ε?",
        "Search your code for eps: does the argument reach the division?",
    ),
    Mistake(
        "variance-for-root",
        "It divides by the variance, not by its root.",
        "If x is measured in metres, what is the unit of what you divide by?",
        "Double all inputs. By how much should the output change, and by how much does yours?",
    ),
    Mistake(
        "unbiased-normalising",
        "The batch is normalised with the unbiased variance, which divides by n - 1.",
        "Compute the variance of what you return, with γ = 1 and a tiny ε. Which number divides "
        "the sum of squares so that it is exactly 1?",
        "Read what `correction` is in torch.var when nothing is said.",
    ),
    Mistake(
        "shortcut-variance",
        "The variance is E[x²] - E[x]², which loses its digits where the mean is large.",
        "In float32, how many digits of 32768² + 1 are kept?",
        "Two large, nearly equal numbers are subtracted. In which order could one subtract first "
        "and square afterwards?",
    ),
    Mistake(
        "mean-not-subtracted",
        "The mean is not subtracted from what is divided.",
        "What is the mean of your output, with β = 0?",
        "Look at the numerator alone: which of the two statistics should stand in it?",
    ),
    Mistake(
        "affine-swapped",
        "γ and β have changed places: β scales and γ shifts.",
        "With γ = 0, what should be left of the input?",
        "Say aloud what `weight` does and what `bias` does in nn.Linear; then read your last line.",
    ),
    Mistake(
        "affine-on-last-axis",
        "γ and β are broadcast along the last axis, not along the channels.",
        "To which axis does torch align a tensor of shape (C,) next to one of shape (N, C, H, W)?",
        "Write the two shapes below each other, right-aligned. Where would C have to stand, and "
        "which sizes of 1 does that take?",
    ),
    Mistake(
        "affine-on-batch-axis",
        "γ and β are broadcast along the batch, not along the channels.",
        "With γ = (1, 2): which entries of the output are doubled?",
        "Count the axes in front of the channels and compare with the shape that you view γ in.",
    ),
    Mistake(
        "gamma-ignored",
        "γ is not used.",
        "Double γ. What changes in what you return?",
        "Search your code for weight: does it reach the result?",
    ),
    Mistake(
        "beta-ignored",
        "β is not used.",
        "Add 1 to β. What changes in what you return?",
        "Search your code for bias: does it reach the result?",
    ),
    Mistake(
        "beta-before-gamma",
        "β is added before the scaling, so that γ scales it too.",
        "What is the mean of a channel of the output, in terms of γ and β?",
        "Look at the order of your last two operations.",
    ),
    Mistake(
        "statistics-per-sample",
        "Mean and variance are taken for each sample on its own, as instance norm does.",
        "How many means should there be for 5 images with 3 channels?",
        "Print the shape of your mean. Which axis is longer than 1 and should not be?",
    ),
    Mistake(
        "statistics-over-channels",
        "Mean and variance are taken over all channels of a sample, as layer norm does.",
        "How many means should there be for 5 images with 3 channels?",
        "Print the shape of your mean. Along which axis does it differ, and along which should it?",
    ),
    Mistake(
        "statistics-over-everything",
        "One mean and one variance are taken over everything, channels included.",
        "How many means should there be for 5 images with 3 channels?",
        "Print the shape of your mean. Along which axis should it differ?",
    ),
    Mistake(
        "statistics-per-position",
        "Mean and variance are taken over the batch only, so each position has its own.",
        "Which cells share a mean: those of one pixel, or those of one channel?",
        "Print the shape of your mean, with keepdim=True. Which sizes should be 1?",
    ),
    Mistake(
        "statistics-of-last-axis",
        "The last axis is taken for the channels; torch has them in dimension 1.",
        "In what order do the axes of an image batch stand in torch: N, H, W, C or another?",
        "Print the shape of your mean. Is its length the number of channels?",
    ),
    Mistake(
        "statistics-without-last-axis",
        "Mean and variance leave the last axis out, so each column has its own.",
        "How many values share a mean in a batch of shape (N, C, H, W)?",
        "Print the shape of your mean, with keepdim=True. Which sizes should be 1?",
    ),
    Mistake(
        "statistics-without-height",
        "Mean and variance leave axis 2 out, so each row has its own.",
        "How many values share a mean in a batch of shape (N, C, H, W)?",
        "Print the shape of your mean, with keepdim=True. Which sizes should be 1?",
    ),
    Mistake(
        "not-2d",
        "Input of shape (N, C), without positions, fails or comes out wrong.",
        "Which axes are there to average over if there are only two?",
        "Which numbers in your code count on a fixed number of axes?",
    ),
    Mistake(
        "not-5d",
        "Input of shape (N, C, D, H, W) fails or comes out wrong.",
        "Which axes are there to average over if there are five?",
        "Which numbers in your code count on a fixed number of axes?",
    ),
    Mistake(
        "only-4d",
        "It works for (N, C, H, W) alone: (N, C), (N, C, L) and (N, C, D, H, W) fail.",
        "Which numbers in your code count on four axes?",
        "Every axis but one is averaged over. How can that be said for any x.dim()?",
    ),
    Mistake(
        "input-changed",
        "The caller's input is changed in place.",
        "Print x before and after the call.",
        "Which operations write into their left side? Look for names that end in _ and for -=, /=.",
    ),
    Mistake(
        "dtype-changed",
        "With float64 input it fails, or another dtype comes out.",
        "What is the dtype of every tensor that you make?",
        "Print the dtype after each step, with x.double().",
    ),
)
RUNNING = (
    Mistake(
        "momentum-reversed",
        "momentum weights the old value, as in Keras; in torch it weights the new one.",
        "With momentum 0.1, how much of the old value should be left after one batch?",
        "Set momentum=0. Should the running mean stand still, or jump to the batch's?",
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
)
GRADIENTS = (
    Mistake(
        "not-through-mean",
        "The gradient does not pass through the mean.",
        "Raise a single input a little: which outputs change because the mean does?",
        "The true gradient sums to 0 over a channel. Does yours?",
    ),
    Mistake(
        "not-through-variance",
        "The gradient does not pass through the variance.",
        "Raise a single input a little: which outputs change because the variance does?",
        "With a tiny ε the true gradient is orthogonal to x̂. Is yours?",
    ),
    Mistake(
        "not-through-statistics",
        "The gradient passes through neither mean nor variance: they are treated as constants.",
        "Raise a single input a little: do only its own outputs change?",
        "Which of your lines break the graph, or which terms of the derivative are missing?",
    ),
    Mistake(
        "sum-for-mean",
        "Sums stand where means should: a 1/n is missing in the gradient of x.",
        "Give the same batch twice over, stacked. Should the gradient of x grow?",
        "Differentiate μ = (x₁ + … + xₙ)/n by x₁.",
    ),
    Mistake(
        "root-not-divided-by",
        "The gradient of x is not divided by the standard deviation.",
        "If all inputs are ten times as far apart, how much less does one more unit matter?",
        "Differentiate (x - μ)/σ by x, with μ and σ held fixed.",
    ),
    Mistake(
        "gamma-gradient-of-input",
        "The gradient of γ is made with x; it should be made with what γ multiplies.",
        "By what is γ multiplied in the forward pass?",
        "Write y = γ · something + β and differentiate by γ.",
    ),
    Mistake(
        "affine-gradients-averaged",
        "The gradients of γ and β are averaged over the cells; they should be summed.",
        "How many outputs does one γ move, and what happens to their gradients?",
        "β is added to every cell of a channel. Give the same batch twice: how does its gradient "
        "change?",
    ),
    Mistake(
        "affine-gradients-swapped",
        "The gradients of γ and β have changed places.",
        "Which of the two needs no input at all?",
        "Compare the order of what you return with the order that was asked for.",
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
CATALOGUE = (*ARITHMETIC, *RUNNING, *MODES, *GRADIENTS, *STATE)
