"""glum: generalised linear models, in memory."""

import numpy as np
from glum import GeneralizedLinearRegressor

from benchmarks.peers.common import places, read, standardised, write_standardised

if __name__ == "__main__":
    data, answer = places()
    x, y = read(data, np.float64, "F")
    x, means, deviations = standardised(x)
    model = GeneralizedLinearRegressor(
        family="binomial", alpha=1 / len(x), l1_ratio=0, solver="irls-ls", gradient_tol=1e-7, copy_X=False
    )
    model.fit(x, y.astype(np.float64))
    write_standardised(answer, model.coef_, model.intercept_, means, deviations)
