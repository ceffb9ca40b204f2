"""A customer's handlers for the tests: they hand over what is new to refund and to ship."""
