"""Translation: English captions of pictures into German or French, with attention.

--data is a folder with Multi30k's sentence pairs (Elliott et al. 2016, arXiv:1605.00459; data/task1/raw of
https://github.com/multi30k/dataset), a sentence a line: train, val and test_2016_flickr, each as .en.gz and .de.gz or
.fr.gz. Sentences are cut into byte pairs (Sennrich, Haddow & Birch 2016, arXiv:1508.07909; sentencepiece), so there is
no unknown word. --attention bahdanau reads in both directions (Bahdanau, Cho & Bengio 2014, arXiv:1409.0473), luong
once, forwards, and divides scores by √hidden (Luong, Pham & Manning 2015, arXiv:1508.04025, but for the division).

The figure is BLEU of the test's translations, found by beam search, as sacrebleu has it (Post 2018, arXiv:1804.08771:
cased, of the text as it is). The weights are those of the least loss on val. Beside it are the BLEU of the source
itself, and that of the translation of the training sentence that is nearest by words. attention.png shows at which
byte pairs it looked when it wrote each of its own. `minigrad sample RUN --prompt "A dog runs."` translates.
"""

import base64
import gzip
import io
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

import minigrad as mg
from minigrad import disk
from minigrad.models import BahdanauDecoder, LuongDecoder, Seq2Seq
from minigrad.models.tasks.cells import OF_VECTORS, vector_cell_named
from minigrad.models.tasks.dates import draw_attention
from minigrad.models.tasks.files import load_weights, read_weights
from minigrad.models.tasks.training import ALL, Annotated, BadInput, Option, Row, SymbolTask
from minigrad.training import Batches, pad

LANGUAGES, DECODERS = ("de", "fr"), {"bahdanau": BahdanauDecoder, "luong": LuongDecoder}
START, END, NONE = 1, 2, -100  # sentencepiece's <s> and </s>; no symbol, for the loss
AT_ONCE = 100  # sentences
STEP = 16  # translations may have a multiple of it of byte pairs, so that few different loops are compiled


class Translation(SymbolTask):
    steps, lr, batch, every, hidden, embedding = 2000, 2e-3, 64, 500, 256, 128
    figure, best_on, loss_unit, unit = "bleu", "held_out_loss", "nats a byte pair", "sentences"
    higher_is_better = True
    known = "lower-cased: German 39.0, French 59.0 (README of the code of Caglayan et al. 2017, arXiv:1707.04481)"
    family = "attention"
    rows = [
        Row("--data multi30k", 25.0),
        Row("--data multi30k --attention luong", 25.0),
        Row("--data multi30k --to fr", "nearest_sentence"),
    ]

    data: Annotated[Path | None, Option(help="Folder of train.en.gz and its like.")] = None
    to: Annotated[str, Option(help="Language to write: de or fr.")] = "de"
    attention: Annotated[str, Option(help="bahdanau or luong.")] = "bahdanau"
    cell: Annotated[str, Option(help=f"Of both: {', '.join(OF_VECTORS)} or path/to/file.py:Class.")] = "gru"
    vocabulary: Annotated[int, Option(min=1, max=10**6, help="Byte pairs of each language.")] = 4000
    dropout: Annotated[float, Option(min=0, max=0.95, help="On embeddings, and below the logits.")] = 0.3
    width: Annotated[int, Option(min=1, max=1000, help="Of the beam.")] = 5

    def build(self):
        parts = {part: read_pairs(self.data, part, self.to) for part in ("train", "val", "test_2016_flickr")}
        if "pieces" not in self.settings:  # a resumed run has them
            self.settings["pieces"] = [learn_pieces(side, self.vocabulary) for side in parts["train"]]
        self.translator = Translator(self.settings, self.out)
        self.model = self.translator.model
        self.pairs, self.val = [self.translator.encode(*parts[part]) for part in ("train", "val")]
        self.test = parts["test_2016_flickr"]
        lengths = [len(target) * 1000 + min(len(source), 999) for source, target in self.pairs]
        self.batches = Batches(len(self.pairs), self.batch, lengths=lengths, seed=self.seed)
        self.beside = {
            "copy_source": bleu(self.test[0], self.test[1]),
            "nearest_sentence": bleu(nearest(self.test[0], *parts["train"]), self.test[1]),
        }
        count = sum(len(target) for _, target in self.pairs)
        self.about = f"{len(self.pairs):,} sentences to train on, {count:,} byte pairs to write"

    def batch_at(self, step, rows=ALL):
        return tuple(map(mg.tensor, padded([self.pairs[k] for k in self.batches(step)[rows]])))

    @property
    def examples(self):
        return lambda step: len(self.batches(step))

    def terms(self, source, lengths, target):
        return (target != NONE).sum()

    def loss(self, source, lengths, target):
        logits, _ = self.model(source, mg.where(target == NONE, END, target), lengths)
        return mg.cross_entropy(logits.reshape(-1, logits.shape[-1]), target.reshape(-1))

    def served(self):
        source, lengths, _ = padded(self.pairs[:2])
        return partial(self.model.greedy, max_length=4 * STEP), (source, lengths), {}

    def evaluate(self):
        self.told = self.translator(self.test[0], self.width)
        self.translator.draw(self.test[0][0], self.told[0], self.out / "attention.png")
        pairs, total, count = sorted(self.val, key=lambda pair: len(pair[1])), 0.0, 0
        for first in range(0, len(pairs), AT_ONCE):
            source, lengths, target = padded(pairs[first : first + AT_ONCE])
            total += self.loss_of(source, lengths, target).item() * (target != NONE).sum()
            count += (target != NONE).sum()
        return {"held_out_loss": float(total / count), "bleu": bleu(self.told, self.test[1]), **self.beside}

    def shown(self, step):
        return "\n".join(f"  {source} -> {told}" for source, told in list(zip(self.test[0], self.told))[:3])


class Translator:
    """The model of a run, and the byte pairs that it reads and writes. Raises BadInput for settings that have none."""

    def __init__(self, settings: dict, folder: Path):
        from sentencepiece import SentencePieceProcessor

        if settings["attention"] not in DECODERS:
            raise BadInput(f"--attention {settings['attention']}: wanted {' or '.join(DECODERS)}")
        try:
            self.reads, self.writes = (
                SentencePieceProcessor(model_proto=base64.b64decode(text, validate=True)) for text in settings["pieces"]
            )
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise BadInput(f"{folder} is the folder of a run without byte pairs: {error}") from error
        hidden, embedding = settings["hidden"], settings["embedding"]
        of_kind = {"readout": hidden} if settings["attention"] == "bahdanau" else {"scale": hidden**-0.5}
        self.model = Seq2Seq(
            self.reads.vocab_size(), self.writes.vocab_size(), embedding, hidden, DECODERS[settings["attention"]],
            vector_cell_named(settings["cell"], embedding, hidden), START, END, dropout=settings["dropout"], **of_kind,
        )  # fmt: skip
        self.beams: dict = {}  # by width and length

    def encode(self, read: list[str], written: list[str]) -> list[tuple[list[int], list[int]]]:
        """Pairs of sentences as numbers, END behind each."""
        return list(zip(self.reads.encode(read, add_eos=True), self.writes.encode(written, add_eos=True)))

    def __call__(self, sentences: list[str], width: int) -> list[str]:
        """What beam search finds for each, by log probability a byte pair."""
        sources = self.reads.encode(sentences, add_eos=True)
        order = np.argsort([len(source) for source in sources], kind="stable")
        told = [""] * len(sources)
        for part in np.split(order, range(AT_ONCE, len(order), AT_ONCE)):
            source, lengths = pad([sources[k] for k in part], END)
            longest = -(-(len(source) * 5 // 4 + STEP // 2) // STEP) * STEP
            symbols, counts, _ = self.beam(width, longest)(source, lengths)
            for k, column, count in zip(part, symbols.numpy()[:, :, 0].T, counts.numpy()[:, 0]):
                told[k] = self.writes.decode([int(s) for s in column[:count] if s != END])
        return told

    def beam(self, width: int, longest: int):
        def search(source, lengths):
            return self.model.beam(source, lengths, width=width, max_length=longest, length_penalty=1.0)

        return self.beams.setdefault((width, longest), mg.jit(search))

    def draw(self, sentence: str, translation: str, path) -> None:
        """Where it looks when it writes the translation, as a picture."""
        ((read, written),) = self.encode([sentence], [translation])
        _, weights = self.model(np.array([read]).T, np.array([written]).T)
        draw_attention(self.reads.id_to_piece(read), self.writes.id_to_piece(written), weights.numpy()[:, :, 0], path)


def read_pairs(folder: Path | None, part: str, language: str) -> tuple[list[str], list[str]]:
    """The English sentences of a part, and those in the other language. Raises BadInput for files that are no pairs."""
    if language not in LANGUAGES:
        raise BadInput(f"--to {language}: wanted {' or '.join(LANGUAGES)}")
    if folder is None:
        raise BadInput("--data FOLDER is wanted: that of Multi30k's train.en.gz and its like")
    read, written = (read_lines(Path(folder) / f"{part}.{side}.gz") for side in ("en", language))
    if len(read) != len(written) or not read:
        raise BadInput(f"{folder}: {part} has {len(read)} lines in en and {len(written)} in {language}; wanted pairs")
    return read, written


def read_lines(path: Path) -> list[str]:
    try:
        lines = gzip.decompress(disk.read(path, disk.TEXT)).decode().splitlines()
    except (gzip.BadGzipFile, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: wanted gzipped UTF-8 text: {error}") from error
    if empty := [k for k, line in enumerate(lines, 1) if not line.strip()]:
        raise BadInput(f"{path}: line {empty[0]} is empty; wanted a sentence")
    return lines


def learn_pieces(sentences: list[str], count: int) -> str:
    """The byte pairs of a language, as sentencepiece's model in base64."""
    from sentencepiece import SentencePieceTrainer

    model = io.BytesIO()
    try:
        SentencePieceTrainer.train(
            sentence_iterator=iter(sentences), model_writer=model, model_type="bpe", vocab_size=count,
            character_coverage=1.0, num_threads=1, minloglevel=2,
        )  # fmt: skip
    except RuntimeError as error:
        raise BadInput(f"--vocabulary {count}: {str(error).rpartition(']')[2].strip() or error}") from error
    return base64.b64encode(model.getvalue()).decode()


def padded(pairs: list[tuple[list[int], list[int]]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sources (T, B), their lengths, and targets (S, B), NONE behind their ends."""
    source, lengths = pad([source for source, _ in pairs], END)
    return source, lengths, pad([target for _, target in pairs], NONE)[0]


def bleu(told: list[str], truth: list[str]) -> float:
    from sacrebleu import corpus_bleu

    return corpus_bleu(told, [truth]).score


def nearest(sentences: list[str], read: list[str], written: list[str]) -> list[str]:
    """The translation of the sentence of `read` whose words are most alike, weighted by rarity (tf-idf, cosine)."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(token_pattern=r"\w+")
    known = words.fit_transform(read)
    return [written[k] for k in np.asarray((words.transform(sentences) @ known.T).argmax(axis=1)).ravel()]


def sample(folder: Path, prompt: str, width: int | None = None) -> Iterator[str]:
    """The translation of the prompt by the model of a run. width: of the beam, by default the run's."""
    arrays, options = read_weights(folder)
    options = Translation.checked(options, folder)
    if not prompt.strip():
        raise BadInput('--prompt "A sentence." is wanted: what is to be translated')
    translator = Translator(options, folder)
    load_weights(translator.model, arrays, folder)
    translator.model.eval()
    with mg.no_grad():
        told = translator([prompt], width or options["width"])
    yield from told
