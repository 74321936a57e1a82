"""Acme's parts: a circuit, a model, a loader, a device, a sampler, a provider, a metric, a data set."""
