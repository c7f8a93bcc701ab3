"""The learner: new labels, in order, into the version that serves."""
