"""The synthetic world: drawn people with voices, and clips of them of which everything is known.

    from iap_pipelines.synthetic import World, WorldConfig, fill_bank, synthesize

    synthesize(WorldConfig(num_identities=8, voice_backend="formant"), "world")

Needs the extra ``[synthetic]``; see `kokoro` for the speech model's style vectors.
"""

from iap_pipelines.synthetic.config import WorldConfig
from iap_pipelines.synthetic.sheet import contact_sheet
from iap_pipelines.synthetic.voices import VoiceBank, fill_bank
from iap_pipelines.synthetic.world import SyntheticClip, World, caption_words
from iap_pipelines.synthetic.writing import synthesize


__all__ = [
    "SyntheticClip",
    "VoiceBank",
    "World",
    "WorldConfig",
    "caption_words",
    "contact_sheet",
    "fill_bank",
    "synthesize",
]
