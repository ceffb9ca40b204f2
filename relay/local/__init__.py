"""What makes the relay run on a laptop, and in the tests: emulator, services, a OneStock."""
