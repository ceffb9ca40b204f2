"""The contestants, as their own documentation writes them. They run in the benchmark's own virtual environment."""
