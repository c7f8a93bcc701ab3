"""The champion answers, and every answer is logged."""
