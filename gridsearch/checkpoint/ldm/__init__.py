"""The layout of latent diffusion models, shared by families: keys, components, vocabulary, adapters."""
