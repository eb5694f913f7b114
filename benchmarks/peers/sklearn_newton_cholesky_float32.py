"""scikit-learn, newton-cholesky, on float32."""

import numpy as np
from sklearn.linear_model import LogisticRegression

from benchmarks.peers.common import places, read, standardised, write_standardised

if __name__ == "__main__":
    data, answer = places()
    x, y = read(data, np.float32)
    x, means, deviations = standardised(x)
    model = LogisticRegression(C=1.0, solver="newton-cholesky")
    model.fit(x, y)
    write_standardised(answer, model.coef_[0], model.intercept_[0], means, deviations)
