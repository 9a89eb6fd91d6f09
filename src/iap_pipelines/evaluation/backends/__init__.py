"""Models that only evaluation needs, beside those of `iap_pipelines.perception`."""
