"""What all pages share: templates, form tokens, headers, errors, health."""
