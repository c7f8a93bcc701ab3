"""Versions in MLflow: each folder is a model that MLflow loads, and each version is registered where one runs."""
