"""Fit the embedded lip-sync model on a folder of talking people, and print how it does on people it was not fitted on.

    python training/fit_lip_sync.py CLIPS.csv --output lip_sync_linear.safetensors

The table has the columns `file`, `person` and, if the sound lies in another file, `sound`; paths are relative to it.
Each file shows one person who speaks all the time; of several faces the largest counts.
"""

import argparse
import csv
from pathlib import Path

from safetensors.numpy import save_file
from tqdm import tqdm

from iap_pipelines.curation.face_clips import follow_faces
from iap_pipelines.media import iterate_frames, read_audio, read_sound
from iap_pipelines.perception.backends import load_face_detector, load_face_landmarker
from iap_pipelines.perception.lip_sync_fit import RIDGE, TalkingExample, fit_weights, leave_one_person_out
from iap_pipelines.perception.mouth import measure_mouth


def read_example(file: Path, person: str, sound: Path | None, max_seconds: float) -> TalkingExample | None:
    """Measure the largest mouth of a file; ``None`` when no face is found."""
    followed = follow_faces(
        lambda: iterate_frames(file, end_seconds=max_seconds), load_face_detector(), load_face_landmarker()
    )
    audio = read_sound(file, max_seconds=max_seconds) if sound is None else read_audio(sound, max_seconds=max_seconds)
    if not followed or audio is None:
        return None
    _, face = max(followed, key=lambda one: (one[0].face_size, one[0].end - one[0].start))
    return TalkingExample(person, measure_mouth(face), audio)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, help="CSV with the columns file, person and sound")
    parser.add_argument("--output", type=Path, required=True, help="safetensors file to write")
    parser.add_argument("--ridge", type=float, default=RIDGE, help="penalty on squared weights")
    parser.add_argument("--max-seconds", type=float, default=8.0, help="of each clip")
    arguments = parser.parse_args()

    folder = arguments.clips.parent
    with open(arguments.clips, newline="", encoding="utf-8") as table:
        rows = list(csv.DictReader(table))
    examples = []
    for row in tqdm(rows, desc="clips"):
        sound = folder / row["sound"] if row.get("sound") else None
        example = read_example(folder / row["file"], row["person"], sound, arguments.max_seconds)
        if example is None:
            print(f"{row['file']}: no face or no sound, left out")
        else:
            examples.append(example)
    result = leave_one_person_out(examples, arguments.ridge)
    seconds = sum(example.mouth.times[-1] - example.mouth.times[0] for example in examples)
    print(f"{len(examples)} clips, {len({example.person for example in examples})} people, {seconds:.0f} s")
    print(f"leave one person out: {result}")
    fitted = fit_weights(examples, arguments.ridge)
    save_file({"weights": fitted.weights, "components": fitted.components}, arguments.output)


if __name__ == "__main__":
    main()
