"""Runs (trainings of students) and the jobs that make them."""
