"""Sequential digits: tell a handwritten digit from its pixels, one at a time.

The 1,797 digits of 8x8 pixels that scikit-learn carries, row by row: 64 steps of one number; a fifth, drawn at random,
is held out. The small sister of sequential MNIST (Le, Jaitly & Hinton 2015, arXiv:1504.00941).
"""

import numpy as np

import minigrad as mg
from minigrad.models.tasks.training import CellTask, Reader


class Digits(CellTask):
    steps, lr, batch, every, layers = 1500, 0.01, 64, 150, 2
    figure, loss_unit, unit = "wrong", "nats", "digits"
    known = "chance 0.9; on sequential MNIST LSTM 0.018 (Arjovsky, Shah & Bengio 2016, arXiv:1511.06464)"

    def build(self):
        from sklearn.datasets import load_digits

        x, digit = load_digits(return_X_y=True)
        x = (x.T[:, :, None] / 16).astype(np.float32)
        order = self.test_draws.permutation(len(digit))
        test, rest = np.split(order, [len(order) // 5])
        self.test, self.training = (x[:, test], digit[test]), (x[:, rest], digit[rest])
        self.model = Reader(self.recurrent(1), 10)
        self.about = f"{len(rest)} digits to train on and {len(test)} held out"

    def draw(self, generator, count):
        chosen = generator.integers(len(self.training[1]), size=count)
        return self.training[0][:, chosen], self.training[1][chosen]

    def loss(self, x, digit):
        return mg.cross_entropy(self.model(x, last=1)[0], digit)

    def evaluate(self):
        x, digit = self.test
        told = self.model(mg.tensor(x), last=1).numpy()[0].argmax(axis=-1)
        return {"held_out_loss": self.loss_of(x, digit).item(), "wrong": float((told != digit).mean())}
