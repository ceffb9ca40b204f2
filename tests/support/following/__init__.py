"""A customer's handlers for the tests: they log each change and hand over what is new to refund and to ship."""
