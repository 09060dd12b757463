"""The web application of Blindrate: studies, participation, researchers, statistics and reports."""
