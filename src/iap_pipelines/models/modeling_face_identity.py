# Copyright 2026 The iap-pipelines team. Licensed under the Apache License, Version 2.0.
"""`FaceIdentityEncoder`: the picture of a face to a unit vector, for scoring and linking.

It is trained apart from every generator that it scores. Letters: B pictures, H height, W width, D channels of an
embedding.
"""

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel, ResNetConfig, ResNetModel
from transformers.utils import ModelOutput

from .configuration_face_identity import FaceIdentityConfig


@dataclass
class FaceIdentityOutput(ModelOutput):
    """
    Args:
        embeddings: `[B, D]` of length 1; the cosine of two is the similarity of two faces.
    """

    embeddings: Tensor | None = None


class FaceIdentityEncoder(PreTrainedModel):
    r"""
    Tells who is in a picture: pictures of one person lie close together, those of different people far apart.

    A residual network (transformers' [`ResNetModel`]), mean over the picture, projection to the unit sphere.

    Args:
        config ([`FaceIdentityConfig`]):
            Sizes.

    Example:
        >>> encoder = FaceIdentityEncoder(FaceIdentityConfig(embedding_size=16)).eval()
        >>> encoder(torch.zeros(2, 3, 96, 96)).embeddings.shape
        torch.Size([2, 16])
    """

    config_class = FaceIdentityConfig
    base_model_prefix = "face_identity"
    main_input_name = "pixel_values"
    input_modalities = ("image",)

    def __init__(self, config: FaceIdentityConfig) -> None:
        super().__init__(config)
        self.backbone = ResNetModel(
            ResNetConfig(
                embedding_size=config.stem_size,
                hidden_sizes=list(config.hidden_sizes),
                depths=list(config.depths),
                layer_type="basic",
            )
        )
        self.projection = nn.Linear(config.hidden_sizes[-1], config.embedding_size)
        self.post_init()

    def forward(self, pixel_values: Tensor, return_dict: bool = True) -> FaceIdentityOutput | tuple[Tensor]:
        """
        Embed pictures, each cropped around one face.

        Args:
            pixel_values: `[B, 3, H, W]` in [-1, 1], any size; scaled to `config.image_size`.
            return_dict: whether to return a [`FaceIdentityOutput`] or a plain tuple.

        Returns:
            Embeddings `[B, D]` of length 1.

        Raises:
            ValueError: for another shape.
        """
        if pixel_values.ndim != 4 or pixel_values.shape[1] != 3:
            raise ValueError(f"`pixel_values` must have the shape [B, 3, H, W], got {list(pixel_values.shape)}.")
        size = tuple(self.config.image_size)
        if tuple(pixel_values.shape[-2:]) != size:
            pixel_values = F.interpolate(pixel_values, size, mode="bilinear", align_corners=False, antialias=True)
        pooled = self.backbone(pixel_values).pooler_output.flatten(1)
        embeddings = F.normalize(self.projection(pooled), dim=-1)
        return FaceIdentityOutput(embeddings=embeddings) if return_dict else (embeddings,)
