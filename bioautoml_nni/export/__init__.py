"""Export: a trained network as files that run without this project's training side."""
