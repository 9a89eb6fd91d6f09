"""Many people in one picture."""

from pathlib import Path

import numpy as np
from PIL import Image

from iap_pipelines.synthetic.people import draw_people
from iap_pipelines.synthetic.rendering import snapshot


def contact_sheet(
    path: str | Path, *, num_people: int = 64, seed: int = 1, columns: int = 8, height: int = 96
) -> Path:
    """Draw the first people of a world, one picture each, into one PNG or JPEG.

    Args:
        path: of the picture to write.
        num_people: a multiple of ``columns``.
        seed: of the world.
        columns: pictures side by side.
        height: of one picture in pixels.

    Raises:
        ValueError: when ``num_people`` does not fill the rows.
    """
    if num_people < 1 or num_people % columns:
        raise ValueError(f"`num_people` must be a multiple of `columns` ({columns}), but got {num_people}.")
    people = draw_people(num_people, seed)
    tiles = [
        snapshot([person], np.random.default_rng([seed, 8, index]), height=height, width=height)
        for index, person in enumerate(people)
    ]
    sheet = np.stack(tiles).reshape(-1, columns, height, height, 3).transpose(0, 2, 1, 3, 4)
    Image.fromarray(sheet.reshape(-1, columns * height, 3)).save(path, quality=90)  # of a JPEG
    return Path(path)
