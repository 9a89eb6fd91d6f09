"""A world of drawn people with voices: who lives in it, and every clip and reference that can be taken of them."""

from dataclasses import dataclass

import numpy as np

from iap_pipelines.synthetic.body import draw_clothes
from iap_pipelines.synthetic.config import REFERENCE_VIEWS, WorldConfig
from iap_pipelines.synthetic.face import Pose
from iap_pipelines.synthetic.motion import Mouth, move
from iap_pipelines.synthetic.people import Person, appearance_phrases, draw_people
from iap_pipelines.synthetic.rendering import Actor, Light, face_box, render
from iap_pipelines.synthetic.scenes import SCENES, SIDES, Place, place
from iap_pipelines.synthetic.sound import SAMPLING_RATE
from iap_pipelines.synthetic.speech import PlacedWord, Utterance, lay_out, mouth_movement
from iap_pipelines.synthetic.vocabulary import SPOKEN_WORDS, draw_words
from iap_pipelines.synthetic.voices import VoiceBank
from iap_pipelines.types import SpokenLine, StructuredCaption, SubjectDescription


_VIEW_POSES = {
    "front": Pose(yaw=0.02),
    "left": Pose(yaw=-0.38, gaze=-0.2),
    "right": Pose(yaw=0.38, gaze=0.2),
    "up": Pose(yaw=0.12, pitch=-0.13, smile=0.9),
    "tilted": Pose(yaw=-0.15, tilt=0.10, pitch=0.06, mouth_opening=0.35),
}
_NOISE_FLOOR = 0.0006
_SPEECH_ATTEMPTS = 32


@dataclass(frozen=True, eq=False)
class SyntheticClip:
    """A clip with everything that is true about it."""

    frames: np.ndarray
    """RGB uint8 ``[F, H, W, 3]``."""
    samples: np.ndarray
    """Mono float32 ``[N]`` at 16 kHz."""
    record: dict
    """One line of ``clips.jsonl``."""
    mouth_opening: np.ndarray
    """Float32 ``[F, S]`` in [0, 1], subjects from left to right as in the record."""
    yaw: np.ndarray
    """Float32 ``[F, S]`` in radians, positive to the right of the picture."""
    face_box: np.ndarray
    """Float32 ``[F, S, 4]``: left, top, right, bottom in pixels."""


@dataclass(frozen=True, eq=False)
class _Plan:
    record: dict
    identities: tuple[int, ...]
    utterance: Utterance
    scene: str


class World:
    """People by number, and clips of them by number.

    Args:
        config: what the world is made from.
        bank: the spoken words of every identity, see `voices.fill_bank`. ``None`` for a world of which only faces are
            asked.

    Example:
        >>> world = World(WorldConfig(num_identities=4, voice_backend="formant"))
        >>> world.render_face(0, 0).shape
        (96, 96, 3)
    """

    def __init__(self, config: WorldConfig, bank: VoiceBank | None = None) -> None:
        self.config = config
        self.bank = bank
        self.people = draw_people(config.num_identities, config.seed)

    def person(self, index: int) -> Person:
        """What identity ``index`` looks like."""
        return self.people[index]

    def split_of(self, index: int) -> str:
        """Where identity ``index`` belongs; every split is a run of numbers."""
        count = self.config.num_identities
        held_out = round(self.config.held_out_share * count)
        if index >= count - held_out:
            return "test"
        return "validation" if index >= count - 2 * held_out else "train"

    def identities(self, split: str) -> list[int]:
        """The numbers of all identities of a split."""
        return [index for index in range(self.config.num_identities) if self.split_of(index) == split]

    # --- Clips ---------------------------------------------------------------------------------------------------

    def describe_clip(self, clip_index: int) -> dict:
        """The line of ``clips.jsonl`` for a clip, without rendering it."""
        return self._plan(clip_index).record

    def render_clip(self, clip_index: int) -> SyntheticClip:
        """Draw and speak clip ``clip_index``, 0 to ``config.num_clips - 1``."""
        plan, config = self._plan(clip_index), self.config
        generator = self._generator(5, clip_index)
        mouths = [
            Mouth(*mouth_movement(track, config.num_frames, config.frame_rate)) for track in plan.utterance.tracks
        ]
        film = self._act(plan, mouths, generator)
        width = config.width(len(plan.identities))
        light = _draw_light(generator)
        frames = np.stack([render(actors, plan.scene, config.height, width, light) for actors in film])
        hiss = _NOISE_FLOOR * generator.standard_normal(config.num_samples)
        samples = np.clip(plan.utterance.tracks.sum(0) + hiss, -1, 1).astype(np.float32)
        return SyntheticClip(
            frames=frames,
            samples=samples,
            record=plan.record,
            mouth_opening=np.stack([mouth.opening for mouth in mouths], axis=1).astype(np.float32),
            yaw=np.array([[actor.pose.yaw for actor in actors] for actors in film], np.float32),
            face_box=np.array([[face_box(actor) for actor in actors] for actors in film], np.float32),
        )

    def _plan(self, clip_index: int) -> _Plan:
        if not 0 <= clip_index < self.config.num_clips:
            raise ValueError(f"`clip_index` must lie in 0 to {self.config.num_clips - 1}, but got {clip_index}.")
        generator = self._generator(4, clip_index)
        identities = self._cast(clip_index, generator)
        scene = str(generator.choice(list(SCENES)))
        utterance = self._speak(identities, generator)
        generic = bool(generator.random() < self.config.generic_caption_share)
        record = self._record(clip_index, identities, scene, utterance, generic)
        return _Plan(record, identities, utterance, scene)

    def num_people(self, clip_index: int) -> int:
        """How many people clip ``clip_index`` shows: each identity has the same number of clips of each kind."""
        config, number = self.config, clip_index % self.config.clips_per_identity
        three = round(config.three_person_share * config.clips_per_identity)
        two = round(config.two_person_share * config.clips_per_identity)
        people = 3 if number < three else 2 if number < three + two else 1
        first = clip_index // config.clips_per_identity
        return min(people, len(self.identities(self.split_of(first))))

    def _cast(self, clip_index: int, generator: np.random.Generator) -> tuple[int, ...]:
        """Who is in the clip, from left to right."""
        first = clip_index // self.config.clips_per_identity
        others = [index for index in self.identities(self.split_of(first)) if index != first]
        company = generator.choice(others, self.num_people(clip_index) - 1, replace=False) if others else []
        return tuple(int(index) for index in generator.permutation([first, *company]))

    def _speak(self, identities: tuple[int, ...], generator: np.random.Generator) -> Utterance:
        banks = [self._bank().words(index) for index in identities]
        speakers = generator.permutation(len(identities)).tolist()
        order = [position for position in speakers for _ in range(self.config.lines_per_turn)]
        counts = {1: (2, 3), 2: (1, 2), 3: (1, 1)}[len(identities)]
        wanted = [int(generator.integers(counts[0], counts[1] + 1)) for _ in order]
        for _ in range(_SPEECH_ATTEMPTS):
            lines = [(subject, draw_words(count, generator)) for subject, count in zip(order, wanted, strict=True)]
            utterance = lay_out(lines, banks, self.config.num_samples, generator)
            if utterance is not None:
                return utterance
            longest = max(wanted)
            wanted = [max(count - 1, 1) if count == longest else count for count in wanted]
        seconds = self.config.num_samples / SAMPLING_RATE
        raise ValueError(f"`num_frames` leaves {seconds:.2f} s, too short for {len(order)} lines of one word.")

    def _record(
        self, clip_index: int, identities: tuple[int, ...], scene: str, utterance: Utterance, generic: bool
    ) -> dict:
        config, split = self.config, self.split_of(identities[0])
        clip_id = f"{split}-{clip_index:06d}"
        sides = SIDES[len(identities)]
        lines = _lines(utterance.words)
        people = [self.people[index] for index in identities]
        caption = StructuredCaption(
            scene=scene,
            subjects=tuple(
                SubjectDescription(person.kind if generic else person.appearance, side)
                for person, side in zip(people, sides, strict=True)
            ),
            lines=tuple(SpokenLine(line["subject"], line["text"]) for line in lines),
            sounds="quiet",
        )
        return {
            "clip_id": clip_id,
            "file": f"clips/{clip_id}.mp4",
            "split": split,
            "height": config.height,
            "width": config.width(len(identities)),
            "num_frames": config.num_frames,
            "frame_rate": config.frame_rate,
            "sampling_rate": SAMPLING_RATE,
            "subjects": [
                {"identity": identity_name(i), "side": side} for i, side in zip(identities, sides, strict=True)
            ],
            "lines": lines,
            "scene": scene,
            "caption": caption.render(),
            "truth": f"truth/{clip_id}.npz",
        }

    def _act(self, plan: _Plan, mouths: list[Mouth], generator: np.random.Generator) -> list[list[Actor]]:
        """Every frame's actors."""
        config, count = self.config, len(plan.identities)
        columns = []
        for position, (index, mouth) in enumerate(zip(plan.identities, mouths, strict=True)):
            clothes = draw_clothes(generator)
            inward = 0.22 * (1 - 2 * position / (count - 1)) if count > 1 else None
            yaw = inward + float(generator.uniform(-0.12, 0.12)) if inward is not None else None
            poses = move(mouth, config.frame_rate, generator, yaw=yaw)
            where = _draw_place(position, count, config.height, config.width(count), generator)
            columns.append([Actor(self.people[index], clothes, pose, where) for pose in poses])
        return [list(actors) for actors in zip(*columns, strict=True)]

    # --- References ----------------------------------------------------------------------------------------------

    def render_face(self, index: int, view: int, *, height: int | None = None) -> np.ndarray:
        """Draw a reference picture of identity ``index``, square, in clothes and light of its own.

        Args:
            index: of the identity.
            view: 0 to 4, see `REFERENCE_VIEWS`.
            height: in pixels; ``None`` takes the world's.

        Returns:
            RGB uint8 ``[H, H, 3]``.
        """
        size = height or self.config.height
        generator = self._generator(6, index, view)
        clothes, scene = draw_clothes(generator), str(generator.choice(list(SCENES)))
        where = _draw_place(0, 1, size, size, generator)
        actor = Actor(self.people[index], clothes, _VIEW_POSES[REFERENCE_VIEWS[view]], where)
        return render([actor], scene, size, size, _draw_light(generator))

    def speak_reference(self, index: int, number: int) -> np.ndarray:
        """Let identity ``index`` say a few random words, 2 s: mono float32 at 16 kHz."""
        generator = self._generator(7, index, number)
        bank = self._bank().words(index)
        words = [str(word) for word in generator.permutation(list(SPOKEN_WORDS))]
        for count in range(5, 0, -1):
            utterance = lay_out([(0, tuple(words[:count]))], [bank], 2 * SAMPLING_RATE, generator)
            if utterance is not None:
                hiss = _NOISE_FLOOR * generator.standard_normal(2 * SAMPLING_RATE)
                return np.clip(utterance.tracks[0] + hiss, -1, 1).astype(np.float32)
        raise ValueError(f"Voice {index} is too slow: no word fits into 2 s.")

    def describe_identity(self, index: int) -> dict:
        """The line of ``identities.jsonl`` for an identity."""
        name, config = identity_name(index), self.config
        return {
            "identity": name,
            "split": self.split_of(index),
            "appearance": self.people[index].appearance,
            "faces": [f"references/{name}/face_{view}.png" for view in range(config.num_reference_views)],
            "voices": [f"references/{name}/voice_{number}.wav" for number in range(config.num_reference_voices)],
        }

    def _bank(self) -> VoiceBank:
        if self.bank is None:
            raise ValueError("`bank` is needed for clips with sound: World(config, fill_bank(folder, count, seed)).")
        return self.bank

    def _generator(self, *key: int) -> np.random.Generator:
        return np.random.default_rng([self.config.seed, *key])


def identity_name(index: int) -> str:
    return f"id-{index:04d}"


def caption_words() -> list[str]:
    """Every word that a caption of any world can contain, without punctuation: the vocabulary for a tokenizer."""
    sides = [side for sides in SIDES.values() for side in sides]
    texts = [*SPOKEN_WORDS, *SCENES, *sides, *appearance_phrases(), "scene says sounds quiet"]
    return sorted({word for text in texts for word in text.split()})


def _lines(words: tuple[PlacedWord, ...]) -> list[dict]:
    lines: list[dict] = []
    for number in range(max(word.line for word in words) + 1):
        said = [word for word in words if word.line == number]
        lines.append(
            {
                "subject": said[0].subject + 1,
                "text": " ".join(word.word for word in said),
                "start": said[0].start,
                "end": said[-1].end,
                "words": [{"word": word.word, "start": word.start, "end": word.end} for word in said],
            }
        )
    return lines


def _draw_place(position: int, count: int, height: int, width: int, generator: np.random.Generator) -> Place:
    shift = (
        float(generator.uniform(-0.06, 0.06)),
        float(generator.uniform(-0.03, 0.03)),
        float(generator.uniform(-0.05, 0.05)),
    )
    return place(position, count, height, width, shift=shift)


def _draw_light(generator: np.random.Generator) -> Light:
    return Light(*(float(value) for value in generator.uniform(-1, 1, 3)))
