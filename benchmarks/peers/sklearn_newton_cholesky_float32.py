"""scikit-learn, newton-cholesky, on float32."""

import numpy as np

from benchmarks.peers.sklearn_common import run

if __name__ == "__main__":
    run(np.float32, solver="newton-cholesky")
