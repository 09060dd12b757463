"""The demo: Blindrate's own questions and the study that is built from them."""
