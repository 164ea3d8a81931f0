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
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

import minigrad as mg
from minigrad import nn, optim, tree
from minigrad.cli import BadInput
from minigrad.models import Recurrent
from minigrad.models.tasks.training import Run, cell_named, load_weights, read_weights

UNKNOWN = "\N{REPLACEMENT CHARACTER}"  # stands for characters that are too rare to learn
STANDARD_LIBRARY = 2_000_000  # characters of it that make up the default text
HELD_OUT = 200_000  # at most so many characters are told at an evaluation


class CharacterModel(nn.Module):
    """Characters to embeddings, through recurrent layers, to logits of the next character.

    Takes integers (T, B) and a state, returns logits (T, B, vocabulary) and the next state.
    """

    def __init__(self, cell: type, vocabulary: int, embedding: int, hidden: int, layers: int, dropout: float):
        self.embedding = nn.Embedding(vocabulary, embedding)
        self.recurrent = Recurrent(cell, embedding, hidden, num_layers=layers, dropout=dropout)
        self.output = nn.Linear(hidden, vocabulary)

    def forward(self, characters, state=None):
        hidden, state = self.recurrent(self.embedding(characters), state)
        return self.output(hidden), state


def train(
    text: Annotated[Path | None, typer.Option(help="UTF-8 text.  [default: Python's standard library]")] = None,
    cell: Annotated[str, typer.Option(help="rnn, lstm, gru or path/to/file.py:Class.")] = "lstm",
    hidden: Annotated[int, typer.Option(min=1, help="Hidden units a layer.")] = 256,
    layers: Annotated[int, typer.Option(min=1, help="Layers.")] = 1,
    embedding: Annotated[int, typer.Option(min=1, help="Size of a character's embedding.")] = 64,
    dropout: Annotated[float, typer.Option(min=0, max=0.95, help="Dropout between layers, if several.")] = 0.0,
    batch: Annotated[int, typer.Option(min=1, help="Streams read side by side.")] = 32,
    length: Annotated[int, typer.Option(min=1, help="Characters a step.")] = 64,
    steps: Annotated[int | None, typer.Option(min=1, help="Training steps.  [default: 3000]")] = None,
    lr: Annotated[float, typer.Option(min=0, help="Adam's learning rate at its highest.")] = 3e-3,
    every: Annotated[int, typer.Option(min=1, help="Steps between evaluations and checkpoints.")] = 250,
    seed: Annotated[int, typer.Option(min=0, help="Of weights, dropout and samples.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/charlm"),
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in --out, as it began.")] = False,
):
    settings = {
        "text": str(text.absolute()) if text else None, "cell": cell_path(cell), "hidden": hidden, "layers": layers,
        "embedding": embedding, "dropout": dropout, "batch": batch, "length": length, "steps": steps, "lr": lr,
        "every": every, "seed": seed,
    }  # fmt: skip
    run = Run(train, out, settings, resume)
    options = run.settings
    options["steps"] = options["steps"] or 3000
    characters = read_text(options["text"])
    digest = hashlib.sha256(characters.encode()).hexdigest()
    if options.setdefault("sha256", digest) != digest:
        raise BadInput(f"{options['text'] or 'the default text'} is not the text that {out} was trained on")
    vocabulary = options.setdefault("vocabulary", vocabulary_of(characters))
    numbers = encode(characters, vocabulary)
    split = len(numbers) * 9 // 10
    training = side_by_side(numbers[:split], options["batch"], options["length"])
    rest = numbers[split:][:HELD_OUT]
    held_out = side_by_side(rest, min(16, max(1, len(rest) // (options["length"] + 1))), options["length"])

    nn.manual_seed(options["seed"])
    model = model_of(options)
    optimizer = optim.Adam(model.parameters(), lr=options["lr"])
    rise = max(1, min(100, options["steps"] // 10))
    schedule = optim.Schedule(optimizer, optim.warmup(rise, optim.cosine(options["steps"] - rise or 1, last=0.05)))
    windows = (training.shape[0] - 1) // options["length"]
    state = None

    @mg.jit
    def loss_of(characters, following, state):
        logits, state = model(characters, state)
        return mg.cross_entropy(logits.reshape(-1, len(vocabulary)), following.reshape(-1)), state

    def step(number: int) -> float:
        nonlocal state
        window = number % windows
        if window == 0:
            state = None  # the streams begin again
        piece = training[window * options["length"] : (window + 1) * options["length"] + 1]
        loss, state = loss_of(mg.tensor(piece[:-1]), mg.tensor(piece[1:]), state)
        state = tree.map(lambda s: s.detach(), state)
        optimizer.zero_grad()
        loss.backward()
        optim.clip_grad_norm(optimizer.parameters, 1.0)
        optimizer.step()
        schedule.step()
        return loss.item()

    def evaluate() -> dict:
        model.eval()
        nats = held_out_loss(model, held_out, options["length"], len(vocabulary))
        model.train()
        return {"held_out_loss": nats, "bits_per_character": nats / math.log(2)}

    def sample_text(number: int) -> str:
        draws = np.random.default_rng([options["seed"], number])
        model.eval()
        text = "".join(generate(model, vocabulary, "", 200, 0.8, draws))
        model.train()
        return textwrap.indent(text, "  | ", lambda line: True)

    def position() -> dict:
        return {f"state{k}": leaf for k, leaf in enumerate(tree.flatten(state)[0])} if state is not None else {}

    def restore(kept: dict) -> None:
        nonlocal state
        if kept:
            leaves = [mg.tensor(kept[f"state{k}"]) for k in range(len(kept))]
            state = tree.unflatten(tree.flatten(like)[1], leaves)

    with mg.no_grad():
        _, like = model(mg.tensor(training[:1]))  # here and not in `restore`: dropout may draw from the generator
    parameters = sum(parameter.size for parameter in model.parameters())
    print(
        f"{options['cell']}, {parameters:,} parameters; {len(vocabulary)} different characters, "
        f"{training.size:,} to train on and {held_out.size:,} held out",
        flush=True,
    )
    parts = {"model": model, "optimizer": optimizer, "schedule": schedule, "generator": nn.default_generator}
    run.train(
        parts, position, restore, step, evaluate, size=options["batch"] * options["length"], unit="characters",
        loss_unit="nats a character", shown="bits_per_character", after=sample_text,
    )  # fmt: skip


def sample(folder: Path, prompt: str, length: int, temperature: float, seed: int) -> Iterator[str]:
    """Text from the model of a run, in pieces: the prompt and `length` more characters."""
    if not math.isfinite(temperature):
        raise BadInput(f"--temperature {temperature}: wanted a finite number")
    arrays, options = read_weights(folder)
    vocabulary = options["vocabulary"]
    unknown = sorted(set(prompt) - set(vocabulary))
    if unknown and UNKNOWN not in vocabulary:
        raise BadInput(f"--prompt: the model has never seen {' '.join(map(repr, unknown))}")
    model = model_of(options)
    model.eval()
    load_weights(model, arrays, folder)
    yield prompt
    yield from generate(model, vocabulary, prompt, length, temperature, np.random.default_rng(seed))


def generate(model, vocabulary: str, prompt: str, length: int, temperature: float, generator) -> Iterator[str]:
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
    total, count, state = 0.0, 0, None
    with mg.no_grad():
        for start in range(0, len(held_out) - 1, length):
            piece = held_out[start : start + length + 1]
            logits, state = model(mg.tensor(piece[:-1]), state)
            loss = mg.cross_entropy(logits.reshape(-1, vocabulary), mg.tensor(piece[1:].reshape(-1)), reduction="sum")
            total, count = total + loss.item(), count + piece[1:].size
    return total / count


def model_of(options: dict) -> CharacterModel:
    cell = cell_named(options["cell"], options["embedding"], options["hidden"])
    sizes = [options[name] for name in ("embedding", "hidden", "layers", "dropout")]
    return CharacterModel(cell, len(options["vocabulary"]), *sizes)


def cell_path(cell: str) -> str:
    """A cell's file as an absolute path, so that the run can be resumed from another folder."""
    path, colon, name = cell.rpartition(":")
    return f"{Path(path).absolute()}:{name}" if colon else cell


def read_text(path: str | None) -> str:
    """The text of a file, or by default as much of the Python standard library's source as makes two million."""
    if path is None:
        files = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
        return "".join(file.read_text(encoding="utf-8", errors="replace") for file in files)[:STANDARD_LIBRARY]
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
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


def encode(text: str, vocabulary: str) -> np.ndarray:
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
