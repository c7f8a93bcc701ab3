"""Model versions: their files, their rows, and which of them serves."""
