"""Snap ML: coordinate descent in memory; it penalises its intercept."""

import numpy as np
from snapml import LogisticRegression

from benchmarks.peers.common import places, read, standardised, write_standardised

if __name__ == "__main__":
    data, answer = places()
    x, y = read(data, np.float32)
    x, means, deviations = standardised(x)
    model = LogisticRegression(
        fit_intercept=True, regularizer=1.0, n_jobs=2, max_iter=1000, tol=1e-6, dual=True
    )
    model.fit(x, y.astype(np.float32))
    write_standardised(answer, np.ravel(model.coef_), float(np.ravel(model.intercept_)[0]), means, deviations)
