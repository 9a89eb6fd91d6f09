"""Training of the three codecs: pictures <-> latents, mels <-> latents, mels -> waveform.

data.py         cached clips and speech, and random pieces of them
losses.py       what a good reconstruction is
wan.py          tricks for training `AutoencoderKLWan` on one CPU
discriminators.py, video_vae.py, audio_vae.py, vocoder.py   one objective per codec
trainer.py      steps, schedule, averaging, log, checkpoints, resume
"""
