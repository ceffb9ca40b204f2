"""What can be measured by itself: each part yields its samples, round by round."""
