"""Labels, splits, metrics and intervals: how an annotation method is judged."""
