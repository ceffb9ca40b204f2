"""What became of an event, and how a webhook was signed: from log lines and captured requests. No I/O."""
