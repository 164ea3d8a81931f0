"""Character language model: a recurrent cell learns to continue text.

The text is cut into `batch` streams that are read side by side, `length` characters a step; the state is carried from a
step to the next, the gradient is not (truncated backpropagation through time). The last tenth is held out.
After Karpathy 2015 ("The unreasonable effectiveness of recurrent neural networks") and Graves 2013 (arXiv:1308.0850).
"""

import hashlib
import math
import sysconfig
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

import minigrad as mg
from minigrad import disk, nn, tree
from minigrad.distributed import size
from minigrad.distributed.samples import gathered, own_rows
from minigrad.models import Recurrent
from minigrad.models.tasks.cells import vector_cell_named
from minigrad.models.tasks.files import load_weights, read_weights
from minigrad.models.tasks.training import ALL, Annotated, BadInput, CellTask, Option, Row, sample_axes, taken

UNKNOWN = "\N{REPLACEMENT CHARACTER}"  # stands for characters that are too rare to learn
STANDARD_LIBRARY = 2_000_000  # characters of it that make up the default text
HELD_OUT = 200_000  # at most so many characters are told at an evaluation


class CharacterModel(nn.Module):
    """Characters to embeddings, through recurrent layers, to logits of the next character.

    Takes integers (T, B) and a state, returns logits (T, B, vocabulary) and the next state. dropout: of what goes into
    and out of every layer, not of what a layer carries through time (Zaremba, Sutskever & Vinyals 2014,
    arXiv:1409.2329, equation 4).
    """

    def __init__(self, cell: type, vocabulary: int, embedding: int, hidden: int, layers: int, dropout: float):
        self.embedding = nn.Embedding(vocabulary, embedding)
        self.recurrent = Recurrent(cell, embedding, hidden, num_layers=layers, dropout=dropout)
        self.drop = nn.Dropout(dropout)
        self.output = nn.Linear(hidden, vocabulary)

    def forward(self, characters, state=None):
        hidden, state = self.recurrent(self.drop(self.embedding(characters)), state)
        return self.output(self.drop(hidden)), state


class CharacterTask(CellTask):
    every, hidden = 250, 256
    figure, unit, loss_unit = "bits_per_character", "characters", "nats a character"
    known = "tiny Shakespeare in minutes 1.75 nats, 2.52 bits; fully trained 1.4 to 1.6 nats (Karpathy 2015)"
    family = "sequences"
    rows = [Row("--text tinyshakespeare/input.txt", 2.52)]
    may_change = ("steps", "text")

    text: Annotated[Path | None, Option(help="UTF-8 text.  [default: Python's standard library]")] = None
    embedding: Annotated[int, Option(min=1, max=2**20, help="Size of a character's embedding.")] = 64
    dropout: Annotated[float, Option(min=0, max=0.95, help="Dropout below, between and above layers.")] = 0.0
    length: Annotated[int, Option(min=1, max=100_000, help="Characters a step.")] = 64

    def build(self):
        options, text = self.settings, self.read()
        digest = hashlib.sha256(text.encode()).hexdigest()
        if options.setdefault("sha256", digest) != digest:
            raise BadInput(f"{self.text or 'the default text'} is not the text that {self.out} was trained on")
        symbols = self.symbols(text)
        split = len(symbols) * 9 // 10
        options.setdefault("vocabulary", self.vocabulary_of(symbols, split))
        self.vocabulary = vocabulary_in(options, self.out)
        numbers = encode(symbols, self.vocabulary)
        self.training = side_by_side(numbers[:split], self.batch, self.length)
        rest = numbers[split:][:HELD_OUT]
        self.held_out = side_by_side(rest, min(16, max(1, len(rest) // (self.length + 1))), self.length)
        self.model, self.state = model_of(options), None
        self.about = (
            f"{len(self.vocabulary):,} different {self.unit}, {self.training.size:,} to train on and "
            f"{self.held_out.size:,} held out"
        )

    def read(self) -> str:
        return read_text(self.text)

    def symbols(self, text: str) -> Sequence[str]:
        """What the text is a sequence of; `vocabulary_of` the first `split` of them is trained on."""
        return text

    def vocabulary_of(self, symbols, split: int) -> Sequence[str]:
        return vocabulary_of(symbols)

    @property
    def size(self):
        return self.batch * self.length

    def loss(self, characters, following, state):
        logits, state = self.model(characters, state)
        return mg.cross_entropy(logits.reshape(-1, len(self.vocabulary)), following.reshape(-1)), state

    def batch_at(self, step, rows=ALL):
        window = step % ((len(self.training) - 1) // self.length)
        piece = self.training[window * self.length :, rows][: self.length + 1]
        if not window:
            self.state = None  # the streams begin again
        return mg.tensor(piece[:-1]), mg.tensor(piece[1:])

    def train_loss(self, characters, following):
        loss, state = self.loss_of(characters, following, self.state)
        self.state = tree.map(lambda s: s.detach(), state)
        return loss

    def trial(self, characters, following):
        return self.loss(characters, following, None)[0]

    def terms(self, characters, following):
        return following.size

    def state_of(self, streams: int):
        """A state of so many streams."""
        self.model.eval()  # dropout would draw from the generator
        with mg.no_grad():
            _, state = self.model(mg.tensor(self.training[:1, [0] * streams]))
        self.model.train()
        return state

    def state_axes(self) -> list[int | None]:
        """Along which axis of each array of a state the streams lie."""
        return sample_axes(self.name, lambda count: (self.state_of(count),))

    def position(self):
        """The state, of all ranks' streams."""
        leaves = tree.flatten(self.state)[0]
        if size() > 1 and leaves:
            leaves = [gathered(leaf.numpy(), axis, self.batch) for leaf, axis in zip(leaves, self.state_axes())]
        return {f"state{k}": leaf for k, leaf in enumerate(leaves)}

    def restore(self, kept):
        self.state = None
        if kept:
            leaves, structure = tree.flatten(self.state_of(self.batch))
            wanted = {f"state{k}": (leaf.shape, leaf.dtype) for k, leaf in enumerate(leaves)}
            arrays = {name: array for name, array in kept.items() if isinstance(array, np.ndarray)}
            found = {name: (array.shape, array.dtype) for name, array in arrays.items()}
            if found != wanted or len(arrays) < len(kept):
                raise ValueError(f"the state between batches is {found}, wanted {wanted}")
            state = tree.unflatten(structure, [arrays[name] for name in wanted])
            if size() > 1:
                state = taken(state, self.state_axes(), own_rows(self.batch))
            self.state = tree.map(mg.tensor, state)

    def evaluate(self):
        nats = held_out_loss(self.model, self.held_out, self.length, len(self.vocabulary))
        return {"held_out_loss": nats, "bits_per_character": nats / math.log(2)}

    def served(self):
        """The state goes in and comes out, so that a text can come character by character."""
        characters = mg.tensor(self.training[:2, :2])
        self.model.eval()
        with mg.no_grad():
            _, state = self.model(characters)
        self.model.train()
        return self.model, (characters, state), {}

    def shown(self, step):
        text = "".join(generate(self.model, self.vocabulary, "", 200, 0.8, np.random.default_rng([self.seed, step])))
        return textwrap.indent(text, "  | ", lambda line: True)


def sample(
    folder: Path, prompt: str, length: int = 500, temperature: float = 0.8, seed: int = 0
) -> Iterator[str]:  # fmt: skip
    """Text from the model of a run, in pieces: the prompt and `length` more characters."""
    if not math.isfinite(temperature):
        raise BadInput(f"--temperature {temperature}: wanted a finite number")
    arrays, options = read_weights(folder)
    options = CharacterTask.checked(options, folder)
    vocabulary = vocabulary_in(options, folder)
    unknown = sorted(set(prompt) - set(vocabulary))
    if unknown and UNKNOWN not in vocabulary:
        raise BadInput(f"--prompt: the model has never seen {' '.join(map(repr, unknown))}")
    model = model_of(options)
    model.eval()
    load_weights(model, arrays, folder)
    yield prompt
    yield from generate(model, vocabulary, prompt, length, temperature, np.random.default_rng(seed))


def vocabulary_in(options: dict, folder: Path) -> Sequence[str]:
    """The symbols that a run knows: a string, or a list of strings. Raises BadInput if its settings have none such."""
    vocabulary = options.get("vocabulary")
    if not vocabulary or not isinstance(vocabulary, (str, list)) or not all(isinstance(s, str) for s in vocabulary):
        raise BadInput(f"{folder} is the folder of a run without a vocabulary: {vocabulary!r:.50}")
    return vocabulary


def generate(
    model, vocabulary: Sequence[str], prompt: str, length: int, temperature: float, generator
) -> Iterator[str]:
    """`length` characters, each drawn from softmax(logits / temperature), or the likeliest at temperature 0."""
    state, given = None, encode(prompt or "\n", vocabulary)[:, None]
    for _ in range(length):
        with mg.no_grad():  # not around the `yield`: what the caller does in between is the caller's
            logits, state = model(mg.tensor(given), state)
        scores = logits[-1, 0].numpy().astype(np.float64)
        if not np.isfinite(scores).all():
            raise BadInput("the model's scores are not finite: its training went astray; try a smaller --lr")
        if temperature:
            chances = np.exp((scores - scores.max()) / temperature)
            choice = generator.choice(len(scores), p=chances / chances.sum())
        else:
            choice = scores.argmax()
        given = np.array([[choice]])
        yield vocabulary[choice]


def held_out_loss(model, held_out: np.ndarray, length: int, vocabulary: int) -> float:
    """Nats a character, the state carried through."""
    model = mg.jit(model)
    total, count, state = 0.0, 0, None
    with mg.no_grad():
        for start in range(0, len(held_out) - 1, length):
            piece = held_out[start : start + length + 1]
            logits, state = model(mg.tensor(piece[:-1]), state)
            loss = mg.cross_entropy(logits.reshape(-1, vocabulary), mg.tensor(piece[1:].reshape(-1)), reduction="sum")
            total, count = total + loss.item(), count + piece[1:].size
    return total / count


def model_of(options: dict) -> CharacterModel:
    cell = vector_cell_named(options["cell"], options["embedding"], options["hidden"])
    sizes = [options[name] for name in ("embedding", "hidden", "layers", "dropout")]
    return CharacterModel(cell, len(options["vocabulary"]), *sizes)


def standard_library() -> str:
    """As much of the source of Python's standard library as makes two million characters."""
    files = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    return "".join(file.read_text(encoding="utf-8", errors="replace") for file in files)[:STANDARD_LIBRARY]


def read_text(path: str | Path | None, default: Callable[[], str] = standard_library) -> str:
    """The text of a file, or by default another."""
    if path is None:
        return default()
    try:
        text = disk.read_text(path, "utf-8-sig")
    except OSError as error:
        raise BadInput(f"--text {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"--text {path}: not UTF-8 text (byte {error.start})") from error
    if "\0" in text:
        raise BadInput(f"--text {path}: not text (it has zero bytes)")
    if not text:
        raise BadInput(f"--text {path}: the file is empty")
    return text


def vocabulary_of(text: str) -> str:
    """The characters of a text, in order; of more than 256, those rarer than one in a hundred thousand become one."""
    counts = Counter(text)
    if len(counts) <= 256:
        return "".join(sorted(counts))
    common = {c for c, n in counts.items() if n * 100_000 >= len(text)}
    return "".join(sorted(common | {UNKNOWN}))


def encode(text: Sequence[str], vocabulary: Sequence[str]) -> np.ndarray:
    number = {c: k for k, c in enumerate(vocabulary)}
    unknown = number.get(UNKNOWN, 0)
    return np.array([number.get(c, unknown) for c in text], dtype=np.int64)


def side_by_side(numbers: np.ndarray, batch: int, length: int) -> np.ndarray:
    """(time, batch): the text in `batch` streams."""
    rows = len(numbers) // batch
    if rows < length + 1:
        raise BadInput(
            f"the text is too short: {batch} streams of {length} + 1 characters are {batch * (length + 1)}, and there "
            f"are {len(numbers)} in this part of it; take a longer text, or a smaller --batch or --length"
        )
    return np.ascontiguousarray(numbers[: rows * batch].reshape(batch, rows).T)
