"""The command line: parse, call, report. No logic lives here."""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from iap_pipelines.types import Subject


SUBJECT_KEYS = ("face", "voice", "name", "face_scale", "voice_scale")


def parse_subject(text: str) -> Subject:
    """
    Read `face=a.png,face=b.png,voice=a.wav,name=Ada,face_scale=1.5`; commas inside paths are fine.

    Raises:
        argparse.ArgumentTypeError: an unknown or repeated key, or a value that [`Subject`] refuses.
    """
    values: dict[str, list[str]] = {}
    for part in re.split(rf",(?=(?:{'|'.join(SUBJECT_KEYS)})=)", text):
        key, separator, value = part.partition("=")
        if not separator or key not in SUBJECT_KEYS or not value:
            raise argparse.ArgumentTypeError(f"{part!r}: expected KEY=VALUE with one of the keys {', '.join(SUBJECT_KEYS)}")
        values.setdefault(key, []).append(value)
    repeated = [key for key, given in values.items() if key != "face" and len(given) > 1]
    if repeated:
        raise argparse.ArgumentTypeError(f"{text!r}: {', '.join(repeated)} given more than once")
    try:
        scales = {key: float(values[key][0]) for key in ("face_scale", "voice_scale") if key in values}
        single = {key: values[key][0] for key in ("voice", "name") if key in values}
        return Subject(face=values.get("face"), **single, **scales)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from error


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="iap", description="Identity-personalised joint audio-video generation.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    generate = commands.add_parser("generate", help="make a clip of given people", description=run_generate.__doc__)
    generate.add_argument("--prompt", required=True, help="caption; the k-th --subject is called <Sk> in it")
    generate.add_argument(
        "--subject",
        dest="subjects",
        action="append",
        default=[],
        type=parse_subject,
        metavar="face=F,voice=V",
        help=f"a person; keys: {', '.join(SUBJECT_KEYS)}; face may be repeated; give one --subject per person",
    )
    _add_generation_arguments(generate)
    generate.set_defaults(run=run_generate)

    demo = commands.add_parser("demo", help="two drawn people talk to each other", description=run_demo.__doc__)
    _add_generation_arguments(demo)
    demo.set_defaults(run=run_demo, output=Path("demo.mp4"))
    return parser


def _add_generation_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", help="folder or Hub repository; the embedded checkpoint if not given")
    parser.add_argument("--output", type=Path, default=Path("clip.mp4"), help="mp4 file to write (%(default)s)")
    parser.add_argument("--negative-prompt", help="what the picture should not be like")
    parser.add_argument("--audio-negative-prompt", help="what the sound should not be like")
    parser.add_argument("--height", type=int, help="pixels; the checkpoint's own choice if not given, as below")
    parser.add_argument("--width", type=int, help="pixels")
    parser.add_argument("--num-frames", type=int, help="frames")
    parser.add_argument("--frame-rate", type=float, help="frames per second")
    parser.add_argument("--steps", type=int, help="denoising steps")
    parser.add_argument("--guidance-scale", type=float, help="how strongly the picture follows the caption")
    parser.add_argument("--audio-guidance-scale", type=float, help="how strongly the sound follows the caption")
    parser.add_argument("--face-guidance-scale", type=float, help="how strongly the picture follows the references")
    parser.add_argument("--voice-guidance-scale", type=float, help="how strongly the sound follows the references")
    parser.add_argument("--compat", choices=("native", "official"), help="semantics of the published model")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same clip (%(default)s)")
    parser.add_argument("--device", default="cuda" if _has_cuda() else "cpu", help="where to compute (%(default)s)")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16", "float16"), help="(%(default)s)")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


def run_generate(args: argparse.Namespace) -> None:
    """Make a clip in which the given people appear and say their own lines."""
    import torch

    from iap_pipelines import IAPPipeline, export_to_av
    from iap_pipelines.assets import EMBEDDED_CHECKPOINT

    if args.output.suffix.lower() != ".mp4":
        raise ValueError(f"`--output` must name an .mp4 file, got {str(args.output)!r}.")
    pipe = IAPPipeline.from_pretrained(args.model or EMBEDDED_CHECKPOINT, dtype=getattr(torch, args.dtype))
    pipe.to(args.device)
    pipe.set_progress_bar_config(disable=args.quiet)
    options = {
        "negative_prompt": args.negative_prompt,
        "audio_negative_prompt": args.audio_negative_prompt,
        "height": args.height,
        "width": args.width,
        "num_frames": args.num_frames,
        "frame_rate": args.frame_rate,
        "num_inference_steps": args.steps,
        "guidance_scale": args.guidance_scale,
        "audio_guidance_scale": args.audio_guidance_scale,
        "face_guidance_scale": args.face_guidance_scale,
        "voice_guidance_scale": args.voice_guidance_scale,
        "compat": args.compat,
    }
    output = pipe(
        args.prompt,
        args.subjects,
        generator=torch.Generator().manual_seed(args.seed),
        **{name: value for name, value in options.items() if value is not None},
    )
    export_to_av(
        output.frames[0],
        output.audio[0],
        args.output,
        frame_rate=args.frame_rate or pipe.frame_rate,
        sampling_rate=pipe.sampling_rate,
    )
    print(args.output.resolve())


def run_demo(args: argparse.Namespace) -> None:
    """Two drawn people who come with the package talk to each other."""
    from iap_pipelines.assets import DEMO_PROMPT, example_subjects

    args.prompt = DEMO_PROMPT
    args.subjects = example_subjects()
    run_generate(args)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. Returns 0, or 2 when what the user gave cannot work; the reason is one line on stderr."""
    args = build_parser().parse_args(argv)
    try:
        args.run(args)
    except (ValueError, OSError) as error:
        print(f"iap {args.command}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
