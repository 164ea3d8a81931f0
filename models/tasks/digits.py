"""Sequential digits: tell a handwritten digit from its pixels, one at a time.

The 1,797 digits of 8x8 pixels that scikit-learn carries, row by row: 64 steps of one number; a fifth, drawn at random,
is held out. The small sister of sequential MNIST (Le, Jaitly & Hinton 2015, arXiv:1504.00941).
"""

import numpy as np

from minigrad.models.tasks.training import LabelTask, Reader, Row


class Digits(LabelTask):
    steps, lr, batch, every, layers = 1500, 0.01, 64, 150, 2
    unit = "digits"
    known = "chance 0.9; LSTM on sequential MNIST 0.018 (Arjovsky, Shah & Bengio 2016, arXiv:1511.06464)"
    family = "memory"
    rows = [Row(promise=0.05)]

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
