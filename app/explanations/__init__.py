"""Explanations that students wrote, with their provenance."""
