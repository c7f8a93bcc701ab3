"""Rows with labels come in, are checked and stored."""
