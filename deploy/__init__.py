"""What brings the relay to Google Cloud and keeps it there: `python -m deploy --help`, and README.md beside this file.

It speaks to Google through gcloud alone and imports nothing of `relay`, so that a builder image can run it.
"""
