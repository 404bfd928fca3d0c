"""Jobs: whole runs with a folder (a training, an evaluation, one arm of a claim) and the engines that carry them out."""
