"""Digests by which references and weights are recognised. SHA-256, in hexadecimal digits."""

import hashlib
from collections.abc import Iterable

import torch
from PIL import Image
from torch import Tensor, nn

from iap_pipelines.identity_card import file_digest
from iap_pipelines.provenance.statement import DigestSource
from iap_pipelines.types import AudioSamples, FaceInput


FINGERPRINT_VALUES = 1024
"""Values of a tensor that its fingerprint reads."""


def reference_digest(reference: FaceInput | AudioSamples | Tensor) -> tuple[str, DigestSource]:
    """Digest of a face or a voice, and what was hashed: the bytes of a file, or the contents of a value."""
    if isinstance(reference, Image.Image):
        image = reference.convert("RGB")
        return _digest([str(image.size).encode(), image.tobytes()]), "pixels"
    if isinstance(reference, AudioSamples):
        return _digest([str(reference.sampling_rate).encode(), *_tensor_parts(reference.samples)]), "samples"
    if isinstance(reference, Tensor):
        return _digest(_tensor_parts(reference)), "latents"
    return file_digest(reference), "file"


def holds_weights(module: nn.Module) -> bool:
    """Whether all weights can be read: offloading may have put them on the meta device, or on disk."""
    if any(tensor.is_meta for tensor in (*module.parameters(), *module.buffers())):
        return False
    # Group offloading to disk leaves uninitialised memory in their place.
    registries = (getattr(part, "_diffusers_hook", None) for part in module.modules())
    hooks = (registry.get_hook("group_offloading") for registry in registries if registry is not None)
    return not any(hook.config.offload_to_disk_path for hook in hooks if hook is not None)


def weights_fingerprint(module: nn.Module) -> str | None:
    """
    Recognise a model by its weights, at any size in well under a second.

    Names, shapes, dtypes and up to `FINGERPRINT_VALUES` evenly spaced values of every tensor are hashed: another
    training step, a fused adapter or another precision changes it, a single edited value may not. (All 30 GB of a
    full-size model would take most of a minute, for each clip.)

    Returns:
        ``None`` if it does not hold its weights ([`holds_weights`]), as with sequential offloading.
    """
    if not holds_weights(module):
        return None
    parts: list[bytes] = []
    for name, tensor in sorted(module.state_dict().items()):
        stride = -(-tensor.numel() // FINGERPRINT_VALUES) or 1
        parts += [name.encode(), str(list(tensor.shape)).encode(), *_tensor_parts(tensor.reshape(-1)[::stride])]
    return _digest(parts)


def _tensor_parts(tensor: Tensor) -> list[bytes]:
    values = tensor.detach().cpu().contiguous()
    return [f"{values.dtype} {list(values.shape)}".encode(), values.reshape(-1).view(torch.uint8).numpy().tobytes()]


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()
