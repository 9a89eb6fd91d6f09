"""The pipeline behind the page, and how a reader of the page loads the same one."""

from dataclasses import dataclass

import torch

from iap_pipelines.assets import EMBEDDED_CHECKPOINT
from iap_pipelines.pipelines.pipeline_iap import IAPPipeline


@dataclass(frozen=True)
class AppModel:
    """A pipeline and the code that loads it: an expression and the imports it needs."""

    pipe: IAPPipeline
    load_code: str
    import_code: tuple[str, ...] = ()

    @classmethod
    def load(cls, model: str | None = None, *, device: str = "cpu", dtype: str = "float32") -> "AppModel":
        """
        Load a folder or a Hub repository.

        Args:
            model: which; the embedded checkpoint if `None`.
            device: where to compute.
            dtype: name of a torch dtype.
        """
        pipe = IAPPipeline.from_pretrained(model or EMBEDDED_CHECKPOINT, dtype=getattr(torch, dtype))
        pipe.to(device)
        pipe.set_progress_bar_config(disable=True)
        source = "EMBEDDED_CHECKPOINT" if model is None else repr(model)
        # Always said: without it, parts that are stored with half the digits would be used so.
        options = f", dtype=torch.{dtype}"
        move = "" if device == "cpu" else f".to({device!r})"
        imports = ("from iap_pipelines.assets import EMBEDDED_CHECKPOINT",) if model is None else ()
        return cls(pipe, f"IAPPipeline.from_pretrained({source}{options}){move}", imports)
