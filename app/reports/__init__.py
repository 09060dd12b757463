"""Figures, HTML reports, tables and exports: results in, files out."""
