"""What a row is: columns, kinds, classes; parsing it and checking it."""
