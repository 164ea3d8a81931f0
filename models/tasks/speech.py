"""Speech: read a string of spoken digits from its sound, without being told where each of them is.

--data is a folder of recordings of single digits, DIGIT_SPEAKER_TAKE.wav, of the Free Spoken Digit Dataset (Jakobovski
et al., github.com/Jakobovski/free-spoken-digit-dataset, its folder recordings: six speakers, fifty takes of each digit,
8 kHz, CC BY-SA 4.0). Takes 0 to 4 are its test set; each is tested three times. A string is 1 to 7 takes of one
speaker, one after another with pauses of up to a tenth of a second; of it come log-mel features, two frames of 10 ms a
step, less their mean over the string. A bidirectional layer reads them; connectionist temporal classification (Graves
et al. 2006, ICML) finds the digits. In training a run of bands is left out of each string, as in SpecAugment (Park et
al. 2019, arXiv:1904.08779).

The figure is the label error of the likeliest path: edits from what was told to the truth, over the number of digits.
beam_error is that of prefix beam search; template_error, for scale, of single digits whose beginning and end are told:
each told as the digit whose mean over training, stretched to the same length, is nearest. --left-out NAME trains
without a speaker, and tests on all takes of that one. reading.png shows features, the chance of each digit, and what
was read. `minigrad sample FOLDER --prompt FILE.wav` reads a WAV file.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import minigrad as mg
from minigrad import nn
from minigrad.models import Recurrent, ctc_beam, ctc_greedy, ctc_loss
from minigrad.models.tasks import files, sound
from minigrad.models.tasks.cells import vector_cell_named
from minigrad.models.tasks.ctcdigits import BLANK, StripReader, edits
from minigrad.models.tasks.training import Annotated, BadInput, CellTask, Option, Row
from minigrad.training import pad

FRAMES = 2  # of a step
FEATURES = FRAMES * sound.BANDS
PAUSE = 0.1  # seconds between two digits, at most
MASKED = 10  # bands left out of a string, at most
WIDTH = 5  # of the beam
TIMES = 3  # that each take is tested
TEST_TAKES = range(5)

Recordings = dict[str, list[tuple[int, np.ndarray]]]  # digit and samples, by speaker


class SpeechReader(StripReader):
    """Features (T, B, FEATURES) and their lengths to log probabilities of the digits and the blank, (T, B, 11)."""

    def __init__(self, recurrent, dropout: float):
        super().__init__(recurrent)
        self.drop = nn.Dropout(dropout)

    def forward(self, features, lengths):
        return super().forward(self.drop(features), lengths)


class Speech(CellTask):
    steps, lr, batch, every, hidden = 2000, 5e-3, 16, 500, 96
    figure, loss_unit, unit = "label_error", "nats a digit", "strings"
    known = "at most 0.03 wanted, 1 if nothing is told; single digits, told where they are: template_error"
    family = "sequences"
    rows = [
        Row("--data fsdd/recordings", 0.03),
        Row("--data fsdd/recordings --left-out nicolas", "template_error"),
    ]
    may_change = ("steps", "data")

    data: Annotated[Path | None, Option(help="Folder of the recordings, DIGIT_SPEAKER_TAKE.wav.  [required]")] = None
    left_out: Annotated[str, Option(help="A speaker to test on, none of whose takes is trained on.")] = ""
    longest: Annotated[int, Option(min=1, max=100, help="Digits of a string, at most.")] = 7
    dropout: Annotated[float, Option(min=0, max=0.95, help="Of the features.")] = 0.1

    def build(self):
        self.recordings, test = split_of(recordings_in(self.data), self.left_out)
        trained, held_out = (sum(map(len, part.values())) for part in (self.recordings, test))
        self.about = f"{trained:,} recordings to train on and {held_out} held out"
        self.model = model_of(self.settings)
        self.reads = mg.jit(self.model)
        waves, self.truth = strings_of_all(test, self.longest, TIMES, self.test_draws)
        self.test = batch_of(waves, self.truth)
        self.template_error = template_error(self.recordings, test)

    def draw(self, generator, count):
        waves, labels = strings_of(self.recordings, self.longest, count, generator)
        features, lengths, *labels = batch_of(waves, labels)
        masked = features.reshape(*features.shape[:2], FRAMES, sound.BANDS)
        for b, width in enumerate(generator.integers(MASKED + 1, size=count)):
            first = generator.integers(sound.BANDS - width + 1)
            masked[:, b, :, first : first + width] = 0
        return features, lengths, *labels

    def loss(self, features, lengths, labels, counts):
        return ctc_loss(self.model(features, lengths), labels, lengths, counts, blank=BLANK)

    def evaluate(self):
        features, lengths, labels, counts = self.test
        log_probs = self.reads(mg.tensor(features), mg.tensor(lengths))
        self.told = ctc_greedy(log_probs, lengths, BLANK)
        beam = [found[0][0] for found in ctc_beam(log_probs, lengths, WIDTH, BLANK)]
        k = lengths.argmax()
        draw_reading(
            features[: lengths[k], k], np.exp(log_probs.numpy()[: lengths[k], k]),
            f"spoken {text_of(self.truth[k])}, read as {text_of(self.told[k])}", self.out / "reading.png",
        )  # fmt: skip
        return {
            "held_out_loss": ctc_loss(log_probs, labels, lengths, counts, blank=BLANK).item(),
            "label_error": label_error(self.told, self.truth),
            "beam_error": label_error(beam, self.truth),
            "template_error": self.template_error,
        }

    def shown(self, step):
        pairs = list(zip(self.truth, self.told))
        wrong = [pair for pair in pairs if pair[0] != pair[1]]
        return "\n".join(f"  {text_of(a)} read as {text_of(b)}" for a, b in (wrong + pairs)[:3])


def sample(folder: Path, prompt: str, width: int = WIDTH) -> Iterator[str]:
    """What the model of a run reads in a WAV file, the prompt: the likeliest path's digits, then the beam's best three
    with their probabilities."""
    if not prompt:
        raise BadInput("--prompt: wanted a WAV file")
    arrays, options = files.read_weights(folder)
    options = Speech.checked(options, folder)
    features, lengths = features_of([sound.read_wav(prompt, "--prompt")])
    model = model_of(options)
    model.eval()
    files.load_weights(model, arrays, folder)
    with mg.no_grad():
        log_probs = model(mg.tensor(features), mg.tensor(lengths))
    yield text_of(ctc_greedy(log_probs, blank=BLANK)[0])
    for labels, score in ctc_beam(log_probs, width=width, blank=BLANK)[0][:3]:
        yield f"\n  {np.exp(score):.3f} {text_of(labels)}"


def model_of(options: dict) -> SpeechReader:
    cell = vector_cell_named(options["cell"], FEATURES, options["hidden"])
    layers = Recurrent(cell, FEATURES, options["hidden"], num_layers=options["layers"], bidirectional=True)
    return SpeechReader(layers, options["dropout"])


def recordings_in(folder: Path | str | None) -> dict[tuple[str, int, int], np.ndarray]:
    """Samples by (speaker, digit, take). Raises BadInput for a folder without any, and for files that are no sound."""
    if folder is None:
        raise BadInput("--data: wanted the folder of recordings of the Free Spoken Digit Dataset")
    found = {}
    for path in sorted(Path(folder).glob("*.wav")):
        name = re.fullmatch(r"(\d)_(\w+)_(\d+)", path.stem, re.ASCII)
        if not name:
            raise BadInput(f"--data {path}: wanted a name like 7_jackson_32.wav: digit, speaker, take")
        digit, speaker, take = name.groups()
        found[speaker, int(digit), int(take)] = sound.read_wav(path, "--data")
    if not found:
        raise BadInput(f"--data {folder}: no DIGIT_SPEAKER_TAKE.wav there")
    return found


def split_of(recordings: dict, left_out: str) -> tuple[Recordings, Recordings]:
    """What to train on and what to test on: by take, or a speaker who is left out."""
    speakers = sorted({speaker for speaker, _, _ in recordings})
    if left_out and left_out not in speakers:
        raise BadInput(f"--left-out {left_out}: wanted one of {', '.join(speakers)}")
    parts: tuple[Recordings, Recordings] = defaultdict(list), defaultdict(list)
    for (speaker, digit, take), samples in recordings.items():
        held_out = speaker == left_out if left_out else take in TEST_TAKES
        parts[held_out][speaker].append((digit, samples))
    if not all(parts):
        raise BadInput("--data: wanted takes 0 to 4, to test on, and others, of more than one speaker with --left-out")
    return parts


def strings_of(recordings: Recordings, longest: int, count: int, generator) -> tuple[list, list]:
    """Strings of 1 to `longest` takes, drawn again and again, each of one speaker: their samples, and their digits."""
    speakers, strings = sorted(recordings), []
    for _ in range(count):
        takes = recordings[speakers[generator.integers(len(speakers))]]
        chosen = generator.integers(len(takes), size=generator.integers(1, longest + 1))
        strings.append(joined([takes[k] for k in chosen], generator))
    return [wave for wave, _ in strings], [digits for _, digits in strings]


def strings_of_all(recordings: Recordings, longest: int, times: int, generator) -> tuple[list, list]:
    """The same of all takes, each so many times, in an order that is drawn."""
    strings = []
    for takes in [recordings[speaker] for speaker in sorted(recordings)] * times:
        order = generator.permutation(len(takes)).tolist()
        while order:
            length = generator.integers(1, longest + 1)
            strings.append(joined([takes[k] for k in order[:length]], generator))
            order = order[length:]
    return [wave for wave, _ in strings], [digits for _, digits in strings]


def joined(takes: list[tuple[int, np.ndarray]], generator) -> tuple[np.ndarray, list[int]]:
    """Takes one after another, with pauses: samples and digits."""
    pauses = generator.integers(int(PAUSE * sound.RATE) + 1, size=len(takes))
    pieces = [piece for (_, samples), n in zip(takes, pauses) for piece in (samples, np.zeros(n, np.float32))]
    return np.concatenate(pieces[:-1]), [digit for digit, _ in takes]


def features_of(waves: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """(T, B, FEATURES) and the lengths (B,): log-mel features less their mean over each string, in two units of a
    natural logarithm, FRAMES of them a step, zeros behind the last."""
    parts = []
    for wave in waves:
        frames = sound.log_mel(wave)
        frames = (frames - frames.mean(axis=0)) / 2
        frames = np.pad(frames, ((0, -len(frames) % FRAMES), (0, 0)))
        parts.append(frames.reshape(-1, FEATURES))
    return pad(parts)


def batch_of(waves: list[np.ndarray], labels: list[list[int]]) -> tuple[np.ndarray, ...]:
    """Features and their lengths, labels (B, S) and how many they are."""
    digits, counts = pad(labels)
    return *features_of(waves), digits.T, counts


def label_error(told: list[list[int]], truth: list[list[int]]) -> float:
    return sum(map(edits, told, truth)) / sum(map(len, truth))


def template_error(training: Recordings, test: Recordings) -> float:
    """How many of single digits are nearer to another digit's mean than to their own's."""

    def stretched(recordings):
        digits, features = [], []
        for digit, samples in (recording for takes in recordings.values() for recording in takes):
            frames = sound.log_mel(samples)
            digits.append(digit)
            features.append((frames - frames.mean(axis=0))[np.linspace(0, len(frames) - 1, 20).round().astype(int)])
        return np.array(digits), np.stack(features)

    (digits, features), (truth, told) = stretched(training), stretched(test)
    known = np.unique(digits)
    means = np.stack([features[digits == digit].mean(axis=0) for digit in known])
    distances = np.square(told[:, None] - means).sum(axis=(2, 3))
    return float((known[distances.argmin(axis=1)] != truth).mean())


def text_of(labels: list[int]) -> str:
    return "".join(map(str, labels))


def draw_reading(features: np.ndarray, read: np.ndarray, title: str, path) -> None:
    """Features (T, FEATURES), and below them the probability of each digit at each step, (T, 11); of the blank,
    dashed."""
    from matplotlib.figure import Figure

    seconds = len(features) * FRAMES * sound.HOP / sound.RATE
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    above, below = figure.subplots(2, sharex=True)
    spectrogram = features.reshape(-1, sound.BANDS).T
    above.imshow(spectrogram, origin="lower", aspect="auto", cmap="magma", extent=(0, seconds, 0, sound.BANDS))
    above.set(ylabel="mel band", title=title)
    times = (np.arange(len(read)) + 0.5) * seconds / len(read)
    for digit in range(BLANK):
        below.plot(times, read[:, digit], label=str(digit))
    below.plot(times, read[:, BLANK], "k--", linewidth=0.5)
    below.set(xlabel="seconds", ylabel="probability")
    below.legend(ncols=2, fontsize="x-small", loc="center left", bbox_to_anchor=(1, 0.5))
    files.save_figure(figure, path)
