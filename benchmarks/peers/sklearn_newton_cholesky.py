"""scikit-learn, newton-cholesky: the best of its solvers for many rows and few columns."""

import numpy as np

from benchmarks.peers.sklearn_common import run

if __name__ == "__main__":
    run(np.float64, solver="newton-cholesky")
