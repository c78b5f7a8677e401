"""An interactive page that teaches the one idea, and the numbers it is held to."""
