"""Everything that is specific to SDXL: keys, blocks, layout, components, vocabulary, adapter names."""
