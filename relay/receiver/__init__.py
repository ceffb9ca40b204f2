"""The service that OneStock calls: check the signature, publish, answer 202."""
