"""Training: plain loops that take mined examples as files, resumable at any step."""
