"""Statistics of ratings and accuracies: DataFrame in, result dataclass out; no database, no web."""
