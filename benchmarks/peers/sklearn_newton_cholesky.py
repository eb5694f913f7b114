"""scikit-learn, newton-cholesky: the best of its solvers for many rows and few columns."""

import numpy as np
from sklearn.linear_model import LogisticRegression

from benchmarks.peers.common import places, read, standardised, write_standardised

if __name__ == "__main__":
    data, answer = places()
    x, y = read(data, np.float64)
    x, means, deviations = standardised(x)
    model = LogisticRegression(C=1.0, solver="newton-cholesky")
    model.fit(x, y)
    write_standardised(answer, model.coef_[0], model.intercept_[0], means, deviations)
