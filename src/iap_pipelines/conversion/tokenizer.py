"""The tokenizer folder, which is copied as it is."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import transformers
from transformers import AutoTokenizer

from iap_pipelines.conversion.errors import ConversionError


_FILE_NAMES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "spiece.model",
    "tokenizer.model",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
)


@dataclass(frozen=True)
class TokenizerPlan:
    """
    Args:
        folder: where the tokenizer is.
        class_name: the transformers class that reads it.
        num_tokens: size of its vocabulary, added tokens included.
    """

    folder: Path
    class_name: str
    num_tokens: int

    @property
    def files(self) -> list[Path]:
        return [self.folder / name for name in _FILE_NAMES if (self.folder / name).is_file()]

    def copy_to(self, folder: Path) -> None:
        """Copy its files and read it back. Raises [`ConversionError`] if the copy is another tokenizer."""
        for path in self.files:
            shutil.copyfile(path, folder / path.name)
        if plan_tokenizer(folder).num_tokens != self.num_tokens:
            raise ConversionError(f"`tokenizer` {self.folder} needs files other than {', '.join(_FILE_NAMES)}.")


def plan_tokenizer(folder: Path) -> TokenizerPlan:
    """
    Find out what `folder` holds by loading it.

    Raises:
        ConversionError: there is no tokenizer in it, or none that transformers can read without running its code.
    """
    if not folder.is_dir():
        raise ConversionError(f"`tokenizer` {folder} is not a folder.")
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # transformers and tokenizers raise many kinds, some bare `Exception`
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ConversionError(
            f"`tokenizer` {folder} is not a tokenizer that transformers can read: {reason}"
        ) from error
    class_name = type(tokenizer).__name__
    if not hasattr(transformers, class_name):
        raise ConversionError(f"`tokenizer` {folder} needs the class {class_name}, which transformers does not have.")
    return TokenizerPlan(folder, class_name, len(tokenizer))
