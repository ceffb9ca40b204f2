"""`python -m relay`: one module for each command."""
