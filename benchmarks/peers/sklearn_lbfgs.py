"""scikit-learn, lbfgs: its default."""

import numpy as np

from benchmarks.peers.sklearn_common import run

if __name__ == "__main__":
    run(np.float64, solver="lbfgs", tol=1e-6, max_iter=1000)
