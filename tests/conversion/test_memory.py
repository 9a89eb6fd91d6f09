"""Converting needs memory for a tensor, not for a checkpoint: measured on files of several GB."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from iap_pipelines.conversion.checkpoint import open_checkpoint
from iap_pipelines.conversion.components import plan_transformer
from iap_pipelines.conversion.convert import write_component


GB = 10**9
# A third of the published width, all of its 30 layers and 3693 keys.
REDUCED = {"dim": 1024, "ffn_dim": 4864, "num_layers": 30, "text_dim": 4096, "freq_dim": 256, "audio_hidden_dim": 2816}
MAX_SHARD_SIZE = "1GB"


def convert(source: str, output: str) -> None:
    """What the subprocess runs; prints its peak resident memory in bytes."""
    plan = plan_transformer(open_checkpoint(Path(source)))
    plan.check()
    write_component(plan, Path(output), plan.stored_layout(torch.bfloat16), MAX_SHARD_SIZE)
    status = Path("/proc/self/status").read_text()
    print(int(status.split("VmHWM:")[1].split()[0]) * 1024)


def write_sparse_safetensors(path: Path, layout: dict[str, tuple[int, ...]]) -> int:
    """A valid file of zeros that takes no room on disk."""
    header, end = {}, 0
    for name, shape in layout.items():
        begin, end = end, end + 2 * torch.Size(shape).numel()
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(file.tell() + end)
    return end


def write_pickle(path: Path, layout: dict[str, tuple[int, ...]]) -> int:
    tensors = {name: torch.zeros(shape, dtype=torch.bfloat16) for name, shape in layout.items()}
    torch.save(tensors, path)
    return sum(tensor.nbytes for tensor in tensors.values())


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads peak memory from /proc")
@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_peak_memory_is_below_the_largest_shard_plus_2_gb(official, tmp_path, suffix):
    source, output = tmp_path / f"dual_tower{suffix}", tmp_path / "transformer"
    write = write_pickle if suffix == ".pt" else write_sparse_safetensors
    num_bytes = write(source, official.dual_tower_layout(**REDUCED))
    assert num_bytes > 4 * GB

    finished = subprocess.run(
        [sys.executable, __file__, str(source), str(output)], capture_output=True, text=True, check=True
    )
    source.unlink()
    peak = int(finished.stdout)
    shards = sorted(output.glob("*.safetensors"), key=lambda path: path.stat().st_size)
    largest = shards[-1].stat().st_size
    for shard in shards:
        shard.unlink()

    print(f"{num_bytes / GB:.2f} GB {suffix} in, largest shard {largest / GB:.2f} GB, peak memory {peak / GB:.2f} GB")
    assert len(shards) > 1
    assert peak < largest + 2 * GB


if __name__ == "__main__":
    convert(*sys.argv[1:])
