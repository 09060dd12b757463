"""Taking part: participants, trials, ratings, and the steps from consent to completion code."""
