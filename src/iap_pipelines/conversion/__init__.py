"""Official checkpoints to our layout."""

from iap_pipelines.conversion.transformer import convert_iap_transformer_single_file


__all__ = ["convert_iap_transformer_single_file"]
