"""The rolling forest: a forest whose leaves go on learning; arrays in, arrays out."""
