"""Jobs: whole runs with a folder (a training, an evaluation, an arm of a claim), and engines that carry them out."""
