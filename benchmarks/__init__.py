"""Runnable comparisons. Each prints one Markdown table: `python -m benchmarks.denoising_loop`, and so on."""
