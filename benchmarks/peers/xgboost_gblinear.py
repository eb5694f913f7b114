"""XGBoost, gblinear: coordinate descent on histograms of nothing; deprecated since 3.3."""

import numpy as np
import xgboost

from benchmarks.peers.common import places, read, standardised, write_standardised

if __name__ == "__main__":
    data, answer = places()
    x, y = read(data, np.float32)
    x, means, deviations = standardised(x)
    settings = {
        "booster": "gblinear", "objective": "binary:logistic", "updater": "coord_descent", "eta": 1.0,
        "lambda": 1 / len(x), "alpha": 0, "nthread": 2, "base_score": 0.5, "verbosity": 0,
    }  # fmt: skip
    model = xgboost.train(settings, xgboost.DMatrix(x, y), num_boost_round=50)
    lines = model.get_dump()[0].split()
    bias, weights = float(lines[1]), np.array([float(word) for word in lines[3:]])
    write_standardised(answer, weights, bias, means, deviations)
