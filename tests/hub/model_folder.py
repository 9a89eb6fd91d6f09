"""A pipeline folder that can be published."""

from pathlib import Path

from iap_pipelines import IAPPipeline


CARD = """---
license: apache-2.0
library_name: diffusers
pipeline_tag: text-to-video
tags: [tests]
---

# A tiny pipeline

Random weights.

## Intended use
Tests.
## Prohibited use
Everything else.
## Training data
None.
## Scores
None.
## Limits
It makes noise.
## Licence
Apache-2.0.
"""


def save_with_card(pipe: IAPPipeline, folder: Path) -> Path:
    pipe.save_pretrained(folder)
    (folder / "README.md").write_text(CARD)
    return folder
