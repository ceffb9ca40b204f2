"""The service that Pub/Sub pushes to: authenticate, read, run the handlers, ack or nack."""
