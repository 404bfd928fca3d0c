"""Numeric planning: domains and problems, planners, validation, and action models learned from observed steps."""
