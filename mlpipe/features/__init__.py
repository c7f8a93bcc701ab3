"""The feature store: rows as blocks, labels that may come later."""
