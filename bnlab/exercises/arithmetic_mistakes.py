"""Known mistakes in the arithmetic and its gradient, in words: what it is, and two hints."""

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
