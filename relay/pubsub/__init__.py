"""The only package that speaks to Pub/Sub."""
