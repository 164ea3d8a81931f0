"""Exercise 4: a cell, the update gate RNN of Collins, Sohl-Dickstein & Sussillo 2017 (arXiv:1611.09913).

    u = sigmoid(W_u x + U_u h + b_u)        c = tanh(W_c x + U_c h + b_c)        h' = u h + (1 - u) c

The rows of W, U and b are those of u, then those of c. The judge is `minigrad check`: gradients three ways, second
derivatives, eager against compiled, no leak over batch or time, padding, dtypes.
"""

from minigrad import nn


class Cell(nn.Module):
    def __init__(self, input_size, hidden_size):
        self.input_size, self.hidden_size = input_size, hidden_size
        shapes = (2 * hidden_size, input_size), (2 * hidden_size, hidden_size), (2 * hidden_size,)
        self.W, self.U, self.b = [nn.Parameter(nn.init.uniform(shape, hidden_size**-0.5)) for shape in shapes]

    def forward(self, x, h):
        raise NotImplementedError("exercise 4")
