"""The command line: parse, call, report. No logic lives here."""

import argparse
import dataclasses
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from tqdm.auto import tqdm

from iap_pipelines.identity_card import Consent
from iap_pipelines.provenance import SigningKey, read_provenance
from iap_pipelines.types import Subject


EXTRAS = {
    "curate": "curation",
    "demo": "app",
    "benchmark": "evaluation",
    "evaluate": "evaluation",
    "identity": "curation",
    "synthesize": "synthetic",
    "train-identity": "training",
}
"""What has to be installed for a command beyond the package itself."""
SUBJECT_KEYS = ("face", "voice", "name", "face_scale", "voice_scale", "identity", "lora")


@dataclasses.dataclass(frozen=True)
class PersonChoice:
    """A person of whom something is read when the command runs."""

    person: Subject | str
    """or the identity folder or repository of them"""
    scales: dict[str, float] = dataclasses.field(default_factory=dict)
    """replace those of an identity"""
    lora: str | None = None
    """folder or repository of LoRA weights of this person"""

    def load(self) -> Subject:
        if isinstance(self.person, Subject):
            return self.person
        return dataclasses.replace(Subject.from_pretrained(self.person), **self.scales)


def parse_subject(text: str) -> Subject | PersonChoice:
    """
    Read `face=a.png,face=b.png,voice=a.wav,name=Ada,face_scale=1.5`; commas inside paths are fine. Or
    `identity=org/ada`: an identity folder or repository instead of face and voice. `lora=runs/ada/lora` adds LoRA
    weights of this person.

    Raises:
        argparse.ArgumentTypeError: an unknown or repeated key, or a value that [`Subject`] refuses.
    """
    values: dict[str, list[str]] = {}
    for part in re.split(rf",(?=(?:{'|'.join(SUBJECT_KEYS)})=)", text):
        key, separator, value = part.partition("=")
        if not separator or key not in SUBJECT_KEYS or not value:
            raise argparse.ArgumentTypeError(
                f"{part!r}: expected KEY=VALUE with one of the keys {', '.join(SUBJECT_KEYS)}"
            )
        values.setdefault(key, []).append(value)
    repeated = [key for key, given in values.items() if key != "face" and len(given) > 1]
    if repeated:
        raise argparse.ArgumentTypeError(f"{text!r}: {', '.join(repeated)} given more than once")
    try:
        scales = {key: float(values[key][0]) for key in ("face_scale", "voice_scale") if key in values}
        single = {key: values[key][0] for key in ("voice", "name") if key in values}
        [lora] = values.get("lora", [None])
        if "identity" not in values:
            subject = Subject(face=values.get("face"), **single, **scales)
            return subject if lora is None else PersonChoice(subject, lora=lora)
        if single or "face" in values:
            raise ValueError("identity brings face, voice and name; give only scales with it")
        return PersonChoice(values["identity"][0], scales, lora)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from error


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="iap", description="Identity-personalised joint audio-video generation.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    generate = commands.add_parser("generate", help="make a clip of given people", description=run_generate.__doc__)
    what = generate.add_mutually_exclusive_group(required=True)
    what.add_argument("--prompt", help="caption; the k-th --subject is called <Sk> in it")
    what.add_argument("--demo", action="store_true", help="two drawn people who come with the package talk")
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

    demo = commands.add_parser("demo", help="a page to try it in the browser", description=run_demo.__doc__)
    demo.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s: this machine alone)")
    demo.add_argument("--port", type=int, help="a free one from 7860 if not given")
    demo.add_argument("--max-clip-seconds", type=float, default=4.0, help="length of a clip (%(default)s)")
    demo.add_argument("--max-steps", type=int, default=50, help="denoising steps (%(default)s)")
    demo.add_argument("--max-upload-megabytes", type=int, default=20, help="size of each file (%(default)s)")
    demo.add_argument("--max-waiting", type=int, default=8, help="visitors who wait; one is served (%(default)s)")
    _add_model_arguments(demo)
    _add_signing_arguments(demo)
    demo.set_defaults(run=run_demo)

    inspect = commands.add_parser(
        "inspect", help="who made a clip, and was it edited", description=run_inspect.__doc__
    )
    inspect.add_argument("clip", type=Path, help="mp4 file")
    inspect.add_argument(
        "--trust-anchors", type=Path, metavar="PEM", help="root certificates to trust; nobody if not given"
    )
    inspect.add_argument("--json", action="store_true", help="print the report as JSON")
    inspect.set_defaults(run=run_inspect)

    convert = commands.add_parser("convert", help="official files to one folder", description=run_convert.__doc__)
    convert.add_argument("--transformer", type=Path, required=True, help="dual tower: file, index or folder")
    convert.add_argument("--vae", type=Path, required=True, help="Wan2.2 video VAE")
    convert.add_argument("--text-encoder", type=Path, required=True, help="UMT5-XXL encoder")
    convert.add_argument("--tokenizer", type=Path, required=True, help="folder of its tokenizer")
    convert.add_argument("--audio-vae", type=Path, required=True, help="MMAudio's VAE of 16 kHz sound")
    convert.add_argument("--vocoder", type=Path, required=True, help="BigVGAN v1 of 16 kHz sound")
    convert.add_argument("--output", type=Path, required=True, help="folder to create")
    convert.add_argument(
        "--dtype", default="bfloat16", choices=("float32", "bfloat16", "float16"), help="(%(default)s)"
    )
    convert.add_argument("--max-shard-size", default="5GB", help="limit of one weights file (%(default)s)")
    convert.add_argument(
        "--initialise-identity",
        action="store_true",
        help="start missing identity weights of a base checkpoint as copies of its own",
    )
    convert.add_argument("--dry-run", action="store_true", help="check and report, read and write no weights")
    convert.set_defaults(run=run_convert)

    synthesize = commands.add_parser(
        "synthesize", help="write a drawn world with voices", description=run_synthesize.__doc__
    )
    synthesize.add_argument("output", type=Path, help="folder to write; an interrupted run continues")
    synthesize.add_argument("--identities", type=int, default=400, help="people (%(default)s)")
    synthesize.add_argument("--clips-per-identity", type=int, default=12, help="(%(default)s)")
    synthesize.add_argument("--height", type=int, default=96, help="pixels (%(default)s)")
    synthesize.add_argument("--seed", type=int, default=1, help="same seed, same world (%(default)s)")
    synthesize.add_argument("--workers", type=int, default=1, help="processes (%(default)s)")
    synthesize.add_argument("--voices", default="kokoro", choices=("kokoro", "formant"), help="(%(default)s)")
    synthesize.add_argument("--kokoro-voices", type=Path, help="folder of Kokoro's style vectors")
    synthesize.add_argument("--voice-bank", type=Path, help="folder of spoken words shared between worlds")
    synthesize.set_defaults(run=run_synthesize)

    identity = commands.add_parser(
        "identity", help="write an identity folder of one person", description=run_identity.__doc__
    )
    identity.add_argument("output", type=Path, help="folder to write")
    identity.add_argument(
        "--subject", required=True, type=parse_subject, metavar="face=F,voice=V,name=N", help="the person"
    )
    identity.add_argument("--description", help="how captions describe the person: 'woman with red hair'")
    _add_consent_arguments(identity)
    identity.add_argument("--lora", type=Path, help="LoRA weights of the person: file or folder")
    identity.add_argument(
        "--contents",
        action="append",
        choices=("references", "latents", "keys_and_values"),
        help="what to write of the person; may be repeated (references)",
    )
    identity.add_argument("--model", help="folder or Hub repository that latents and LoRA weights belong to")
    identity.add_argument(
        "--embeddings", action="store_true", help="add what clips can be compared with; needs the extra [curation]"
    )
    identity.set_defaults(run=run_identity)

    publish = commands.add_parser(
        "publish", help="a pipeline, person, LoRA or dataset to the Hub", description=run_publish.__doc__
    )
    publish.add_argument("folder", type=Path, help="what to publish")
    publish.add_argument("repository", help="such as org/name; created when it is missing")
    publish.add_argument(
        "--private", action=argparse.BooleanOptionalAction, help="of a new repository (private for people)"
    )
    publish.add_argument("--revision", help="branch to commit to; created when it is missing")
    publish.add_argument(
        "--remote-code", action="store_true", help="add the code, for those who have diffusers but not this package"
    )
    _add_consent_arguments(publish)
    publish.add_argument(
        "--no-person", action="store_true", help="the LoRA weights show nobody who exists, so there is nobody to ask"
    )
    publish.set_defaults(run=run_publish)

    train = commands.add_parser(
        "train-identity",
        help="learn an adapter (LoRA) of one person from a handful of clips",
        description=run_train_identity.__doc__,
    )
    train.add_argument("--clips", type=Path, required=True, help="folder of clips; the README says how it is laid out")
    train.add_argument("--base", help="folder or Hub repository to adapt; the embedded checkpoint if not given")
    train.add_argument("--name", required=True, help="of the person and the adapter")
    train.add_argument("--identity", help="whose clips to take from a folder of several people")
    train.add_argument("--output", type=Path, help="folder of the run, which continues if stopped (runs/NAME)")
    train.add_argument("--steps", type=int, help="optimizer steps")
    train.add_argument(
        "--set", nargs="*", action="extend", default=[], metavar="KEY=VALUE", help="replace settings of the run"
    )
    train.add_argument("--prepare-only", action="store_true", help="encode the clips and stop")
    train.set_defaults(run=run_train_identity)

    evaluate = commands.add_parser("evaluate", help="score clips, or a model", description=run_evaluate.__doc__)
    given = evaluate.add_mutually_exclusive_group(required=True)
    given.add_argument("--videos", type=Path, help="folder of clips that any system made; with --references")
    given.add_argument("--benchmark", help="name of an embedded benchmark, or a folder with benchmark.yaml")
    evaluate.add_argument("--references", type=Path, help="CSV: who should be seen and heard in each clip")
    evaluate.add_argument("--model", help="with --benchmark: folder or Hub repository; the embedded one if not given")
    evaluate.add_argument("--output", type=Path, default=Path("evaluation"), help="folder of results (%(default)s)")
    evaluate.add_argument("--settings", type=Path, help="YAML: the models that score, by role")
    evaluate.add_argument("--steps", type=int, help="with --benchmark: denoising steps")
    evaluate.add_argument("--device", help="with --benchmark: of generation (cuda if there is one)")
    evaluate.add_argument(
        "--dtype", choices=("float32", "bfloat16", "float16"), help="with --benchmark: of generation (float32)"
    )
    evaluate.set_defaults(run=run_evaluate)

    benchmark = commands.add_parser("benchmark", help="make a benchmark from clips", description=run_benchmark.__doc__)
    benchmark.add_argument("dataset", type=Path, help="folder with clips.jsonl and identities.jsonl")
    benchmark.add_argument("output", type=Path, help="folder to write")
    benchmark.add_argument("--name", required=True, help="what results call it")
    benchmark.add_argument("--licence", required=True, help="of the pictures and recordings")
    benchmark.add_argument("--version", default="1", help="(%(default)s)")
    benchmark.add_argument("--split", default="test", help="whose people it asks for (%(default)s)")
    benchmark.add_argument("--items-per-group", type=int, default=8, help="clips of each kind (%(default)s)")
    benchmark.add_argument("--max-identities", type=int, help="most people to take; all if not given")
    benchmark.add_argument("--seed", type=int, default=0, help="of the first clip (%(default)s)")
    benchmark.add_argument("--with-targets", action="store_true", help="copy the real clips, for FID, FVD and FAD")
    benchmark.add_argument("--dataset-id", help="its repository on the Hub, owner/name")
    benchmark.set_defaults(run=run_benchmark)

    curate = commands.add_parser("curate", help="raw videos to clips of known people", description=run_curate.__doc__)
    curate.add_argument("input", type=Path, nargs="?", help="folder of videos, of any depth")
    curate.add_argument("output", type=Path, nargs="?", help="folder to write; an interrupted run continues")
    curate.add_argument("--config", type=Path, help="YAML file of settings; the packaged ones if not given")
    curate.add_argument("--init-config", type=Path, metavar="FILE", help="write the packaged settings there and end")
    curate.add_argument("--workers", type=int, default=1, help="processes or actors (%(default)s)")
    curate.add_argument(
        "--engine", default="local", choices=("local", "ray", "inline"), help="inline: one process (%(default)s)"
    )
    curate.add_argument("--retry-failed", action="store_true", help="try again what failed in an earlier run")
    curate.set_defaults(run=run_curate)
    return parser


def _add_generation_arguments(parser: argparse.ArgumentParser) -> None:
    _add_model_arguments(parser)
    parser.add_argument("--output", type=Path, default=Path("clip.mp4"), help="mp4 file to write (%(default)s)")
    parser.add_argument("--no-provenance", action="store_true", help="do not sign who made the clip into it")
    _add_signing_arguments(parser)
    parser.add_argument(
        "--lora",
        dest="loras",
        action="append",
        default=[],
        metavar="FOLDER_OR_REPO",
        help="LoRA weights for the whole clip; may be repeated; those of one person: --subject face=F,lora=...",
    )
    parser.add_argument("--lora-scale", type=float, help="how strongly LoRA weights act, those of people too (1)")
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
    parser.add_argument("--quiet", action="store_true", help="no progress bars")


def _add_model_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", help="folder or Hub repository; the embedded checkpoint if not given")
    parser.add_argument("--device", default="cuda" if _has_cuda() else "cpu", help="where to compute (%(default)s)")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16", "float16"), help="(%(default)s)")


def _add_signing_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--signing-certificates", type=Path, metavar="PEM", help="whom to sign as (IAP_SIGNING_CERTIFICATES)"
    )
    parser.add_argument("--signing-key", type=Path, metavar="PEM", help="key of the first of them (IAP_SIGNING_KEY)")


def _add_consent_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--consent", metavar="STATEMENT", help="what the person agreed to, in their own words")
    parser.add_argument("--consent-date", metavar="YYYY-MM-DD", help="when they said so")
    parser.add_argument("--allowed-use", dest="allowed_uses", action="append", default=[], help="may be repeated")
    parser.add_argument("--expires", metavar="YYYY-MM-DD", help="the last day on which the consent holds")


def _consent(args: argparse.Namespace) -> Consent | None:
    if (args.consent is None) != (args.consent_date is None):
        raise ValueError("--consent and --consent-date belong together.")
    if args.consent is None:
        if args.allowed_uses or args.expires:
            raise ValueError("--allowed-use and --expires need --consent.")
        return None
    return Consent(
        statement=args.consent,
        given_on=args.consent_date,
        allowed_uses=tuple(args.allowed_uses),
        expires_on=args.expires,
    )


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


def run_generate(args: argparse.Namespace) -> None:
    """Make a clip in which the given people appear and say their own lines."""
    import torch

    from iap_pipelines import IAPPipeline, export_to_av
    from iap_pipelines.assets import DEMO_PROMPT, EMBEDDED_CHECKPOINT, example_subjects
    from iap_pipelines.hub.adapters import load_adapters, load_shared_adapters

    if args.demo:
        if args.subjects:
            raise ValueError("`--demo` brings its own people: give `--subject` with a `--prompt`.")
        args.prompt, args.subjects = DEMO_PROMPT, example_subjects()
    if args.output.suffix.lower() != ".mp4":
        raise ValueError(f"`--output` must name an .mp4 file, got {str(args.output)!r}.")
    if args.output.is_dir() or not args.output.parent.is_dir():
        raise ValueError(f"`--output` must name a file in a folder that exists, got {str(args.output)!r}.")
    if args.no_provenance and (args.signing_key or args.signing_certificates):
        raise ValueError("`--signing-key` and `--signing-certificates` have no effect with `--no-provenance`.")
    key = None if args.no_provenance else _signing_key(args)
    subjects = _load_people(args.subjects)
    own_loras = [choice.lora if isinstance(choice, PersonChoice) else None for choice in args.subjects]
    has_lora = args.loras or any(own_loras) or any(subject.lora is not None for subject in subjects)
    if args.lora_scale is not None and not has_lora:
        raise ValueError("`--lora-scale` has no effect without LoRA weights: give `--lora` or `--subject ...,lora=`.")
    pipe = IAPPipeline.from_pretrained(args.model or EMBEDDED_CHECKPOINT, dtype=getattr(torch, args.dtype))
    pipe.to(args.device)
    pipe.set_progress_bar_config(disable=args.quiet)
    subjects = load_shared_adapters(pipe, load_adapters(pipe, subjects, own_loras), args.loras)
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
        "attention_kwargs": None if args.lora_scale is None else {"scale": args.lora_scale},
    }
    output = pipe(
        args.prompt,
        subjects,
        generator=torch.Generator().manual_seed(args.seed),
        **{name: value for name, value in options.items() if value is not None},
    )
    export_to_av(
        output.frames[0],
        output.audio[0],
        args.output,
        frame_rate=args.frame_rate or pipe.frame_rate,
        sampling_rate=pipe.sampling_rate,
        provenance=None if args.no_provenance else output.provenance[0],
        signing_key=key,
    )
    print(args.output.resolve())


def _signing_key(args: argparse.Namespace) -> SigningKey | None:
    """The key of the options or the environment, read before anything is computed."""
    if bool(args.signing_certificates) != bool(args.signing_key):
        raise ValueError("Give both `--signing-certificates` and `--signing-key`, or neither.")
    if args.signing_key:
        return SigningKey.from_files(args.signing_certificates, args.signing_key)
    return SigningKey.configured()


def run_demo(args: argparse.Namespace) -> None:
    """Serve a page on which people are given, clips are made, scored and inspected; ends with Ctrl-C."""
    from iap_pipelines.app.limits import AppLimits
    from iap_pipelines.app.model import AppModel
    from iap_pipelines.app.page import build_page, launch
    from iap_pipelines.app.scores import ClipScorer

    limits = AppLimits(
        max_clip_seconds=args.max_clip_seconds,
        max_steps=args.max_steps,
        max_upload_megabytes=args.max_upload_megabytes,
        max_waiting=args.max_waiting,
    )
    key = _signing_key(args)
    model = AppModel.load(args.model, device=args.device, dtype=args.dtype)
    scorer = ClipScorer.load() if args.model is None else None  # its recognisers know the drawn world alone
    page = build_page(model, limits=limits, signing_key=key, scorer=scorer)
    launch(page, limits=limits, host=args.host, port=args.port)


def run_inspect(args: argparse.Namespace) -> int:
    """Read who made a clip. Ends with 0 if it is as it was signed, with 1 if it was edited or carries no manifest."""
    report = read_provenance(args.clip, trust_anchors=args.trust_anchors)
    print(json.dumps(dataclasses.asdict(report), indent=2) if args.json else report.render())
    return 0 if report.state == "intact" else 1


def run_convert(args: argparse.Namespace) -> None:
    """Turn the official files into one folder that IAPPipeline.from_pretrained loads."""
    import torch

    from iap_pipelines.conversion import OfficialSources, convert_official

    sources = OfficialSources(
        transformer=args.transformer,
        vae=args.vae,
        text_encoder=args.text_encoder,
        tokenizer=args.tokenizer,
        audio_vae=args.audio_vae,
        vocoder=args.vocoder,
    )
    report = convert_official(
        sources,
        args.output,
        dtype=getattr(torch, args.dtype),
        max_shard_size=args.max_shard_size,
        initialise_identity=args.initialise_identity,
        dry_run=args.dry_run,
    )
    print(report.render())


def run_synthesize(args: argparse.Namespace) -> None:
    """Draw people, give them voices, and write clips of them together with everything that is true about them."""
    from iap_pipelines.synthetic import WorldConfig, synthesize

    config = WorldConfig(
        num_identities=args.identities,
        clips_per_identity=args.clips_per_identity,
        height=args.height,
        seed=args.seed,
        voice_backend=args.voices,
    )
    with ProgressBars() as bars:
        clips = synthesize(
            config,
            args.output,
            workers=args.workers,
            voice_bank=args.voice_bank,
            kokoro_voices=args.kokoro_voices,
            report=bars.update,
        )
    print(clips)


def run_identity(args: argparse.Namespace) -> None:
    """Write a person down as a folder that can be used and shared: references, terms, card."""
    from iap_pipelines import IAPPipeline
    from iap_pipelines.assets import EMBEDDED_CHECKPOINT

    if isinstance(args.subject, PersonChoice) and args.subject.lora is not None:
        raise ValueError("the LoRA weights of an identity are given as `--lora`, not as a part of `--subject`.")
    [subject] = _load_people([args.subject])
    consent = _consent(args)
    needs_model = args.lora is not None or bool(set(args.contents or ()) - {"references"})
    pipe = None
    if args.model is not None or needs_model:
        pipe = IAPPipeline.from_pretrained(args.model or EMBEDDED_CHECKPOINT)
    embeddings = None
    if args.embeddings:
        from iap_pipelines.hub.verification import embed_subject
        from iap_pipelines.perception import backends

        embeddings = embed_subject(
            subject,
            face_detector=backends.load_face_detector(),
            face_embedder=backends.load_face_embedder(),
            voice_embedder=backends.load_voice_embedder(),
        )
    subject.save_pretrained(
        args.output,
        description=args.description,
        consent=consent,
        pipe=pipe,
        contents=args.contents,
        lora=args.lora,
        embeddings=embeddings,
    )
    print(args.output.resolve())


def run_publish(args: argparse.Namespace) -> None:
    """Check a folder and send it to the Hub in one commit; after an interruption the same command continues."""
    from iap_pipelines.hub.publishing import publish_folder

    url = publish_folder(
        args.folder,
        args.repository,
        private=args.private,
        revision=args.revision,
        remote_code=args.remote_code,
        consent=_consent(args),
        no_person=args.no_person,
    )
    print(url)


def _load_people(choices: Sequence[Subject | PersonChoice]) -> list[Subject]:
    return [choice.load() if isinstance(choice, PersonChoice) else choice for choice in choices]


def run_train_identity(args: argparse.Namespace) -> None:
    """Learn an adapter of one person; on the same folder again, an interrupted run continues."""
    import logging

    from iap_pipelines.assets import EMBEDDED_CHECKPOINT
    from iap_pipelines.hub.publishing import publish_folder
    from iap_pipelines.training.config import parse_overrides
    from iap_pipelines.training.identity import identity_config
    from iap_pipelines.training.personal_clips import find_clips, prepare_personal_clips
    from iap_pipelines.training.trainer import Trainer

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    base, output = str(args.base or EMBEDDED_CHECKPOINT), args.output or Path("runs", args.name)
    overrides = parse_overrides(args.set)
    if args.steps is not None:
        overrides["optimization.steps"] = args.steps
    clips = prepare_personal_clips(find_clips(args.clips, args.identity), base, args.name, output)
    print(f"{clips.num_clips} clips to learn, {clips.num_held_out} held out, {len(clips.rejected)} files left out")
    if args.prepare_only:
        print((output / "data").resolve())
        return
    trainer = Trainer(identity_config(clips, base, args.name, output, overrides), publish=publish_folder)
    trainer.run()
    print(trainer.results.folder.resolve())


def run_evaluate(args: argparse.Namespace) -> None:
    """Score clips that any system made, or let a model make the clips of a benchmark and score those."""
    from iap_pipelines.assets import EMBEDDED_CHECKPOINT, find_benchmark
    from iap_pipelines.evaluation.benchmark.generate import GenerationSettings
    from iap_pipelines.evaluation.settings import EvaluationSettings
    from iap_pipelines.evaluation.suite import BenchmarkRun, evaluate_benchmark, evaluate_folder

    settings = EvaluationSettings.load(args.settings) if args.settings else None
    with ProgressBars() as bars:
        if args.videos:
            if args.references is None:
                raise ValueError("`--videos` needs `--references`.")
            for name in ("model", "steps", "device", "dtype"):
                if getattr(args, name) is not None:
                    raise ValueError(f"`--{name}` has no effect with `--videos`, which are there already.")
            evaluate_folder(
                args.videos, args.references, args.output, settings or EvaluationSettings(), report=bars.update
            )
        else:
            if args.references:
                raise ValueError("`--references` goes with `--videos`; a benchmark brings its own.")
            if args.steps is not None and args.steps < 1:
                raise ValueError(f"`--steps` must be at least 1, but got {args.steps}.")
            generation = GenerationSettings(
                model=args.model or str(EMBEDDED_CHECKPOINT),
                device=args.device or ("cuda" if _has_cuda() else "cpu"),
                dtype=args.dtype or "float32",
                options={"num_inference_steps": args.steps} if args.steps else {},
            )
            run = BenchmarkRun(benchmark=find_benchmark(args.benchmark), generation=generation, settings=settings)
            evaluate_benchmark(run, args.output, report=bars.update)
    print((args.output / "results.md").read_text(encoding="utf-8"))
    print((args.output / "index.html").resolve())


def run_benchmark(args: argparse.Namespace) -> None:
    """Make a benchmark (prompts, references, seeds) from clips whose people are known."""
    from iap_pipelines.evaluation.benchmark.build import BuildSettings, build_benchmark

    settings = BuildSettings(
        name=args.name,
        licence=args.licence,
        version=args.version,
        split=args.split,
        items_per_group=args.items_per_group,
        max_identities=args.max_identities,
        seed=args.seed,
        with_targets=args.with_targets,
        dataset_id=args.dataset_id,
    )
    with ProgressBars() as bars:
        build_benchmark(args.dataset, args.output, settings, report=bars.update)
    print(args.output.resolve())


def run_curate(args: argparse.Namespace) -> None:
    """Find clips of people who speak in a folder of videos, link the people across clips, and write a dataset."""
    from iap_pipelines.curation.config import CurationConfig, write_packaged_yaml
    from iap_pipelines.curation.run import curate

    if args.init_config is not None:
        print(write_packaged_yaml(args.init_config))
        return
    if args.input is None or args.output is None:
        raise ValueError("`input` and `output` are needed: iap curate VIDEOS OUT.")
    config = CurationConfig() if args.config is None else CurationConfig.from_yaml(args.config)
    with ProgressBars() as bars:
        result = curate(
            args.input,
            args.output,
            config,
            workers=args.workers,
            engine=args.engine,
            retry_failed=args.retry_failed,
            report=bars.update,
        )
    print(result.render())


class ProgressBars:
    """One bar per named step of a long command."""

    def __init__(self) -> None:
        self._bars: dict[str, tqdm] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for bar in self._bars.values():
            bar.close()

    def update(self, step: str, done: int, total: int) -> None:
        """Say that `done` of `total` pieces of `step` are finished."""
        if step not in self._bars:
            self._bars[step] = tqdm(desc=step, total=total)
        self._bars[step].update(done - self._bars[step].n)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. Returns its status; 2 when what the user gave cannot work, the reason is one line on stderr."""
    args = build_parser().parse_args(argv)
    try:
        return args.run(args) or 0
    except (ValueError, OSError) as error:
        reason = str(error)
    except ModuleNotFoundError as error:
        reason = f"{error.name} is not installed: pip install 'iap-pipelines[{EXTRAS.get(args.command, 'dev')}]'"
    except ImportError as error:
        reason = str(error)
    print(f"iap {args.command}: {' '.join(reason.split())}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
