"""Islands: found as runs, gathered as pixels, measured."""
