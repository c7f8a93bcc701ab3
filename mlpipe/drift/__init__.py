"""Watch whether the traffic has moved away from what the model was trained on."""
