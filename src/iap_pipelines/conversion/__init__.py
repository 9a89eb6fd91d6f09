"""Official checkpoints to our layout."""

from iap_pipelines.conversion.convert import OfficialSources, convert_official
from iap_pipelines.conversion.errors import ConversionError
from iap_pipelines.conversion.report import ConversionReport
from iap_pipelines.conversion.single_file import convert_iap_transformer_single_file


__all__ = [
    "ConversionError",
    "ConversionReport",
    "OfficialSources",
    "convert_iap_transformer_single_file",
    "convert_official",
]
