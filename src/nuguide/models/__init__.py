"""Models: a network, its guide and its card, as one thing on disk and in memory."""
