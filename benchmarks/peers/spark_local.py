"""Spark MLlib on this machine's cores, reading the files itself."""

import os

from pyspark.ml.classification import LogisticRegression
from pyspark.ml.feature import VectorAssembler
from pyspark.sql import SparkSession

from benchmarks.peers.common import LABEL, places, write

if __name__ == "__main__":
    data, answer = places()
    cores = os.cpu_count() or 1
    session = (
        SparkSession.builder.master(f"local[{cores}]")
        .config("spark.driver.memory", "10g")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.ui.enabled", "false")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")
    frame = session.read.parquet(data)
    names = [name for name in frame.columns if name != LABEL]
    rows = VectorAssembler(inputCols=names, outputCol="features").transform(frame).select("features", LABEL)
    rows = rows.cache()
    model = LogisticRegression(labelCol=LABEL, regParam=1 / rows.count(), tol=1e-8, maxIter=200).fit(rows)
    write(answer, model.coefficients.toArray(), model.intercept)
    session.stop()
