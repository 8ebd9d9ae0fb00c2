"""Measuring Lectern: sets from public data (prepare), quality (run), speed (speed); results with their commit."""
