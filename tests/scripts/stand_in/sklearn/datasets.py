import os
import types

import numpy


def load_digits():
    table = numpy.loadtxt(os.environ["TRAINCHECK_TEST_DIGITS"], delimiter=",")
    return types.SimpleNamespace(images=table[:, :-1].reshape(-1, 8, 8), target=table[:, -1].astype(int))
