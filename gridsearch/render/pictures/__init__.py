"""Picture files: PNG and WebP with A1111's `parameters` text inside."""
