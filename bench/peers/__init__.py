"""What people usually build. It runs in the benchmark's own virtual environment."""
