"""Unary gRPC calls, without grpcio: no thread, and nothing that outlives a call. Knows nothing of Pub/Sub.

Why this is our own: docs/decisions/0008.
"""
