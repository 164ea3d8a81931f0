import minigrad as mg
from minigrad import nn


class Cell(nn.Module):
    def __init__(self, input_size, hidden_size):
        self.input_size, self.hidden_size = input_size, hidden_size
        shapes = (2 * hidden_size, input_size), (2 * hidden_size, hidden_size), (2 * hidden_size,)
        self.W, self.U, self.b = [nn.Parameter(nn.init.uniform(shape, hidden_size**-0.5)) for shape in shapes]

    def forward(self, x, h):
        u, c = mg.split(x @ self.W.T + h @ self.U.T + self.b, 2, axis=-1)
        u = mg.sigmoid(u)
        return u * h + (1 - u) * mg.tanh(c)
