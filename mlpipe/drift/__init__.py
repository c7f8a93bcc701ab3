"""Has the traffic moved away from what the model was trained on?"""
