"""The HTTP routes, a file for each group of paths. They read, call one service, and reply; nothing else."""
