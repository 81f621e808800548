"""Greeks of the model: ``analytical`` (exact) and ``numerical`` (differences of prices)."""
