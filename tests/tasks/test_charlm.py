"""The command, as its user meets it: what a run leaves behind, what resuming gives, how bad input ends."""

import contextlib
import csv
import errno
import importlib.metadata
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad import cli, io, nn, optim
from minigrad.models.tasks import cells, charlm, files
from minigrad.training import trainer

TEXT = "".join(f"{n} squared is {n * n}, and that is that.\n" for n in range(120))
SIZES = ("--hidden", "6", "--embedding", "4", "--batch", "3", "--length", "8", "--every", "5")
CELL = """
import minigrad as mg
from minigrad import nn

class MGUCell(nn.Module):
    def __init__(self, input_size, hidden_size):
        self.hidden_size = hidden_size
        self.forget, self.new = [nn.Linear(input_size + hidden_size, hidden_size) for _ in range(2)]

    def forward(self, x, h):
        f = mg.sigmoid(self.forget(mg.concatenate([x, h], axis=-1)))
        n = mg.tanh(self.new(mg.concatenate([x, f * h], axis=-1)))
        return (1 - f) * h + f * n
"""


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture
def train(minigrad, text):
    return lambda folder, *more: minigrad("train", "charlm", "--text", text, "--out", folder, *SIZES, *more)


def refused(answer, *words):
    """Exit code 2 and one line on stderr, which has these words."""
    code, _, err = answer
    assert code == 2
    assert err.startswith("minigrad: ") and err.count("\n") == 1
    for word in words:
        assert word in err


def content(folder: Path) -> dict:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def figures(folder: Path) -> list[dict]:
    """The log but for what depends on the clock."""
    with (folder / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if k not in ("seconds", "characters_per_second")} for row in rows]


def same_runs(one: Path, other: Path) -> None:
    """Weights, optimizer, generators and figures are the same, bit for bit."""
    assert figures(one) == figures(other)
    for name in ("weights.safetensors", "checkpoint.safetensors"):
        (a, said_a), (b, said_b) = io.load(one / name), io.load(other / name)
        assert a.keys() == b.keys()
        assert all(a[k].tobytes() == b[k].tobytes() for k in a)
    generators = [said["checkpoint"]["generator"] for said in (said_a, said_b)]
    assert generators[0] == generators[1]


def test_a_run_leaves_weights_figures_and_curves(train, tmp_path):
    code, out, err = train(tmp_path / "run", "--steps", 12)
    assert code == 0 and err == ""  # no progress bar where there is no terminal
    assert set(content(tmp_path / "run")) == {"checkpoint.safetensors", "weights.safetensors", "log.csv", "curves.png"}
    rows = figures(tmp_path / "run")
    assert [row["step"] for row in rows] == ["5", "10", "12"]
    for row in rows:
        assert float(row["bits_per_character"]) == pytest.approx(float(row["held_out_loss"]) / math.log(2))
        assert f"step {row['step']}  " in out and f"held out loss {float(row['held_out_loss']):.4g}" in out
    assert out.count("  | ") >= 3  # the samples
    assert (tmp_path / "run" / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_it_learns(train, tmp_path):
    assert train(tmp_path / "run", "--steps", 150, "--every", 150, "--hidden", 24, "--lr", 0.02)[0] == 0
    uniform = math.log(len(set(TEXT)))
    assert float(figures(tmp_path / "run")[-1]["held_out_loss"]) < 0.5 * uniform


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_cells(cell, train, minigrad, tmp_path):
    assert train(tmp_path / "run", "--steps", 2, "--cell", cell)[0] == 0
    assert minigrad("sample", tmp_path / "run", "--length", 3)[0] == 0


def test_a_cell_of_ones_own(train, minigrad, tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(CELL)
    monkeypatch.chdir(tmp_path)
    assert train("run", "--steps", 5, "--cell", "mine.py:MGUCell")[0] == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert minigrad("train", "charlm", "--resume", "--out", "../run", "--steps", 7)[0] == 0
    code, out, _ = minigrad("sample", "../run", "--prompt", "7 squared", "--length", 5)
    assert code == 0 and out.startswith("7 squared") and len(out) == len("7 squared") + 5 + 1


@pytest.mark.parametrize("steps", [4, 10, 13])  # before, at and after an evaluation
def test_resumed_is_as_if_never_stopped(steps, train, minigrad, tmp_path, monkeypatch):
    options = ("--steps", 17, "--layers", 2, "--dropout", 0.3, "--batch", 10)  # 17 steps are more than one pass
    assert train(tmp_path / "whole", *options)[0] == 0

    before = optim.Schedule.step

    def interrupt(self):
        before(self)
        if self.count == steps:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(optim.Schedule, "step", interrupt)
        code, _, err = train(tmp_path / "parts", *options)
    assert code == 130 and err.startswith(f"stopped after step {steps}; ") and err.count("\n") == 1
    assert minigrad("sample", tmp_path / "parts", "--length", 3)[0] == 0
    assert minigrad("train", "charlm", "--resume", "--out", tmp_path / "parts")[0] == 0
    same_runs(tmp_path / "whole", tmp_path / "parts")


def test_interrupted_from_the_terminal(text, tmp_path):
    run = tmp_path / "run"
    command = [sys.executable, "-m", "minigrad", "train", "charlm", "--text", text, "--out", run, *SIZES]
    process = subprocess.Popen([*map(str, command), "--steps", "1000000"], stderr=subprocess.PIPE, text=True,
                               stdout=subprocess.DEVNULL)  # fmt: skip
    try:
        deadline = time.monotonic() + 120
        while not (run / "log.csv").exists() and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert err.startswith("stopped after step ") and err.count("\n") == 1
    _, metadata = io.load(run / "checkpoint.safetensors")
    assert f"step {metadata['checkpoint']['run']['step']};" in err


@pytest.mark.skipif(os.name != "posix", reason="a shell of POSIX")
def test_a_run_in_the_background_outlasts_interrupts_and_ends_with_a_checkpoint_when_it_is_told_to(text, tmp_path):
    run = tmp_path / "run"
    command = [sys.executable, "-m", "minigrad", "train", "charlm", "--text", text, "--out", run, *SIZES]
    shell = ["sh", "-c", "trap '' INT; exec \"$@\"", "sh", *map(str, command), "--steps", "1000000"]
    process = subprocess.Popen(shell, stderr=subprocess.PIPE, text=True, stdout=subprocess.DEVNULL)

    def wait_for_a_new_log(before=None):
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                if (log := (run / "log.csv").read_bytes()) != before:
                    return log
            time.sleep(0.05)
        pytest.fail("it trains no longer")

    try:
        log = wait_for_a_new_log()
        process.send_signal(signal.SIGINT)
        wait_for_a_new_log(wait_for_a_new_log(log))
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 128 + signal.SIGTERM
    assert err.startswith("stopped after step ") and err.count("\n") == 1
    _, metadata = io.load(run / "checkpoint.safetensors")
    assert f"step {metadata['checkpoint']['run']['step']};" in err


def test_a_second_interrupt_does_not_wait(train, tmp_path, monkeypatch):
    def interrupt(self):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    handlers = [signal.getsignal(number) for number in trainer.SIGNALS]
    monkeypatch.setattr(optim.Schedule, "step", interrupt)
    code, _, err = train(tmp_path / "run", "--steps", 9)
    assert code == 130 and "Traceback" not in err
    assert [signal.getsignal(number) for number in trainer.SIGNALS] == handlers


@pytest.mark.parametrize("number", trainer.SIGNALS)
def test_signals_that_end_a_process_let_it_save(number, train, tmp_path, monkeypatch):
    def told_to_end(self, before=optim.Schedule.step):
        before(self)
        if self.count == 2:
            signal.raise_signal(number)

    monkeypatch.setattr(optim.Schedule, "step", told_to_end)
    code, _, err = train(tmp_path / "run", "--steps", 9)
    assert code == 128 + number and err.startswith("stopped after step 2; ")
    assert io.load(tmp_path / "run" / "checkpoint.safetensors")[1]["checkpoint"]["run"]["step"] == 2


def test_a_finished_run_can_be_lengthened(train, minigrad, tmp_path):
    run = tmp_path / "run"
    train(run, "--steps", 5)
    done = content(run)
    code, out, _ = minigrad("train", "charlm", "--resume", "--out", run)
    assert code == 0 and "its 5 steps are done" in out and content(run) == done
    assert minigrad("train", "charlm", "--resume", "--out", run, "--steps", 8)[0] == 0
    assert [row["step"] for row in figures(run)] == ["5", "8"]


def test_sampling(train, minigrad, tmp_path):
    run = tmp_path / "run"
    train(run, "--steps", 3)
    same = [minigrad("sample", run, "--length", 40, "--seed", 1)[1] for _ in range(2)]
    assert same[0] == same[1] != minigrad("sample", run, "--length", 40, "--seed", 2)[1]
    coldest = [minigrad("sample", run, "--length", 40, "--temperature", 0, "--seed", s)[1] for s in (1, 2)]
    assert coldest[0] == coldest[1]
    assert len(same[0]) == 41


def test_sampling_does_not_change_a_run(train, tmp_path, monkeypatch):
    options = ("--steps", 11, "--layers", 2, "--dropout", 0.3)
    train(tmp_path / "one", *options)
    monkeypatch.setattr(charlm, "generate", lambda *_: iter(""))
    train(tmp_path / "other", *options)
    same_runs(tmp_path / "one", tmp_path / "other")


def test_by_default_the_standard_library(minigrad, tmp_path):
    run = tmp_path / "run"
    code, out, _ = minigrad(
        "train", "charlm", "--out", run, "--hidden", 4, "--embedding", 2, "--steps", 1, "--batch", 99
    )
    assert code == 0 and "held out" in out
    assert "import" in charlm.read_text(None)
    assert minigrad("train", "charlm", "--out", run, "--resume", "--steps", 2)[0] == 0


def test_the_command_and_the_package_know_their_version(minigrad):
    version = importlib.metadata.version("minigrad-rnn")
    assert mg.__version__ == version
    assert minigrad("--version") == (0, f"minigrad {version}\n", "")


def test_tasks_and_help(minigrad):
    listed = dict(line.split(maxsplit=1) for line in minigrad("tasks")[1].splitlines())
    assert {"charlm", "nextframe"} <= listed.keys() and all(line.endswith(".") for line in listed.values())
    for command in ([], ["train"], ["train", "charlm"], ["train", "nextframe"], ["sample"]):
        code, out, _ = minigrad(*command, "--help")
        assert code == 0 and out.startswith(" ".join(["Usage: minigrad", *command, "["]))


# Bad input


@pytest.mark.parametrize(
    "content, words",
    [
        (None, "No such file"),
        (b"", "is empty"),
        (b"short", "too short"),
        (TEXT.encode()[:240], "too short"),  # long enough for training, but not for the held-out tenth of it
        (b"\x89PNG\r\n\xff" * 99, "not UTF-8"),
        (b"a\0b" * 999, "zero bytes"),
    ],
)
def test_bad_text(content, words, minigrad, tmp_path):
    path = tmp_path / "text.txt"
    if content is not None:
        path.write_bytes(content)
    sizes = ("--batch", 2, "--length", 32, "--hidden", 4)
    refused(minigrad("train", "charlm", "--text", path, "--out", tmp_path / "run", *sizes), words)
    assert not (tmp_path / "run").exists()


def test_text_is_a_folder(minigrad, tmp_path):
    refused(minigrad("train", "charlm", "--text", tmp_path, "--out", tmp_path / "run"), str(tmp_path))


@pytest.mark.parametrize(
    "source, words",
    [
        (
            "import nothing_of_that_name",
            "ModuleNotFoundError: No module named 'nothing_of_that_name' (mine.py, line 1)",
        ),
        ("def f(:", "SyntaxError"),
        ("\nraise ValueError('two\\nlines')", "ValueError: two lines (mine.py, line 2)"),
        ("import sys; sys.exit(0)", "SystemExit"),
        ("class Stop(BaseException): pass\nraise Stop('here')", "Stop: here (mine.py, line 2)"),
        ("class Mine:\n def __init__(self, i, h): raise SystemExit", "SystemExit"),
        (CELL.replace("MGUCell", "Mine").replace("return", "raise GeneratorExit #"), "GeneratorExit"),
        ("class Other: pass", "defines no Mine; it has Other"),
        ("Mine = 3", "not callable"),
        ("class Mine:\n def __init__(self, i, h): pass", "wanted a cell"),
        ("from minigrad import nn\nclass Mine(nn.Module):\n def __init__(self, i, h): self.hidden_size = h", "forward"),
        (CELL.replace("MGU", "").replace("class Cell", "class Mine").replace("return", "return x @"), "line 13"),
        (CELL.replace("MGUCell", "Mine").replace("return", "return h[..., :1] #"), "Mine is not a cell"),
        (CELL.replace("MGUCell", "Mine").replace("= hidden_size", "= hidden_size + 1"), "Mine is not a cell"),
        (CELL.replace("MGUCell", "Mine").replace("return", "return mg.tensor(h.numpy()) #"), "requires a gradient"),
    ],
)
def test_bad_cells(source, words, train, tmp_path):
    (tmp_path / "mine.py").write_text(source)
    answer = train(tmp_path / "run", "--cell", f"{tmp_path / 'mine.py'}:Mine")
    refused(answer, "--cell", words)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("cell", ["transformer", "none.py:Cell", "text.txt:Cell", "mine.py"])
def test_no_cell_of_that_name(cell, train, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(train("run", "--cell", cell), "--cell")


def test_the_folder(train, text, minigrad, tmp_path):
    run = tmp_path / "run"
    refused(train(text, "--steps", 1), "is a file")
    refused(train(text / "run", "--steps", 1), "Not a directory")
    run.mkdir()
    (run / "precious.txt").write_text("x")
    refused(train(run, "--steps", 1), "not empty")
    assert content(run) == {"precious.txt": b"x"}
    refused(train(run, "--resume"), "not the folder of a run")
    refused(minigrad("sample", tmp_path / "nowhere"), "not the folder of a run")
    refused(minigrad("sample", text), "not the folder of a run")
    (run / "precious.txt").unlink()
    assert train(run, "--steps", 1)[0] == 0  # an empty one will do
    kept = content(run)
    refused(train(run, "--steps", 1), "not empty", "--resume")
    assert content(run) == kept


def test_resuming_with_what_does_not_fit(train, minigrad, text, tmp_path):
    run = tmp_path / "run"
    train(run, "--steps", 3)
    kept = content(run)
    resume = ("train", "charlm", "--resume", "--out", run, "--steps", 5)
    refused(minigrad(*resume, "--hidden", 9), "--hidden 9", "keeps its own, 6")
    refused(minigrad("train", "nextframe", "--resume", "--out", run), "is a run of charlm")
    other = tmp_path / "other.txt"
    other.write_text(TEXT + "more")
    refused(minigrad(*resume, "--text", other), "not the text")
    text.rename(tmp_path / "moved.txt")
    refused(minigrad(*resume), "text.txt")
    assert content(run) == kept
    assert minigrad(*resume, "--text", tmp_path / "moved.txt")[0] == 0


@pytest.mark.parametrize("damage", ["truncated", "a bit", "junk", "empty", "gone", "another's"])
@pytest.mark.parametrize("name", ["checkpoint.safetensors", "weights.safetensors"])
def test_damaged_files(damage, name, train, minigrad, tmp_path):
    run, path = tmp_path / "run", tmp_path / "run" / name
    train(run, "--steps", 3)
    whole = path.read_bytes()
    changed = bytearray(whole)
    changed[-5] ^= 1
    if damage == "gone":
        path.unlink()
    elif damage == "another's":
        io.save(path, {"a": np.ones(3, "float32")})
    else:
        path.write_bytes({"truncated": whole[:700], "a bit": changed, "junk": b"junk", "empty": b""}[damage])
    kept = content(run)
    refused(minigrad("train", "charlm", "--resume", "--out", run, "--steps", 5), name)
    if name.startswith("weights"):
        refused(minigrad("sample", run), name)
    assert content(run) == kept


def test_weights_of_another_model(train, minigrad, tmp_path):
    train(tmp_path / "run", "--steps", 1)
    train(tmp_path / "other", "--steps", 1, "--hidden", 7)
    settings = io.load(tmp_path / "run" / "weights.safetensors")[1]
    arrays = io.load(tmp_path / "other" / "weights.safetensors")[0]
    io.save(tmp_path / "run" / "weights.safetensors", arrays, settings)
    refused(minigrad("sample", tmp_path / "run"), "got shape")


def test_a_checkpoint_of_something_else(train, minigrad, tmp_path):
    """Whole, and with the right parts, but without what a run wants to find."""
    run = tmp_path / "run"
    train(run, "--steps", 3)
    model = charlm.model_of(files.read_settings(run))
    optimizer = mg.optim.Adam(model.parameters())
    parts = {"model": model, "optimizer": optimizer, "schedule": mg.optim.Schedule(optimizer, lambda step: 1.0)}
    parts |= {"generator": nn.default_generator, "draws": np.random.default_rng(0), "run": {}, "task": {}}
    io.save_checkpoint(run / "checkpoint.safetensors", **parts, position={})
    refused(minigrad("train", "charlm", "--resume", "--out", run, "--steps", 5), "cannot resume")


@pytest.mark.parametrize("write", range(3, 11))  # of the files of two evaluations, four each; two are written at first
def test_full_disk(write, train, minigrad, tmp_path, monkeypatch):
    """Whichever file it is that finds no room, the run can go on from its last checkpoint as if nothing had been."""
    run, whole = tmp_path / "run", tmp_path / "whole"
    train(whole, "--steps", 11)
    count, replace = 0, os.replace

    def full(source, target):
        nonlocal count
        count += 1
        if count == write:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        refused(train(run, "--steps", 11), "No space left on device")
    assert set(content(run)) <= set(content(whole))  # nothing half-written
    assert minigrad("train", "charlm", "--resume", "--out", run)[0] == 0
    same_runs(whole, run)


def test_a_full_disk_is_noticed_before_training(train, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    monkeypatch.setattr(optim.Adam, "step", lambda self: pytest.fail("trained"))
    refused(train(tmp_path / "run", "--steps", 5), "No space left on device")
    assert content(tmp_path / "run") == {}


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_stdout_on_a_full_disk():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "minigrad", "tasks"], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 2 and done.stderr == "minigrad: No space left on device\n"


def test_the_loss_runs_away(train, minigrad, tmp_path, recwarn):
    run = tmp_path / "run"
    refused(train(run, "--steps", 20, "--lr", 1e38), "the loss is", "smaller lr")
    assert [w for w in recwarn if issubclass(w.category, RuntimeWarning)] == []
    arrays, _ = io.load(run / "checkpoint.safetensors")
    assert all(np.isfinite(array).all() for array in arrays.values())


def test_weights_that_are_not_finite_are_not_saved(train, tmp_path, monkeypatch):
    def poison(self):
        with mg.no_grad():
            self.parameters[0][...] = np.nan

    monkeypatch.setattr(optim.Adam, "step", poison)
    refused(train(tmp_path / "run", "--steps", 1), "not finite", "smaller --lr")
    arrays, _ = io.load(tmp_path / "run" / "weights.safetensors")
    assert all(np.isfinite(array).all() for array in arrays.values())


@pytest.mark.parametrize("lr", ["nan", "inf"])
def test_numbers_that_are_none(lr, train, tmp_path):
    code, _, err = train(tmp_path / "run", "--lr", lr)
    assert code == 2 and "lr" in err and not (tmp_path / "run").exists()


def test_too_little_memory(train, tmp_path):
    refused(train(tmp_path / "run", "--steps", 1, "--hidden", 2**20), "not enough memory")


def test_bad_prompt_and_temperature(train, minigrad, tmp_path):
    train(tmp_path / "run", "--steps", 1)
    refused(minigrad("sample", tmp_path / "run", "--prompt", "éa"), "never seen 'é'")
    code, _, err = minigrad("sample", tmp_path / "run", "--temperature", "inf")
    assert code == 2 and "temperature" in err


def test_packages_that_are_missing(minigrad, monkeypatch):
    monkeypatch.setitem(sys.modules, "typer", None)
    refused(minigrad("tasks"), "pip install 'minigrad-rnn[cli]'")


# The parts


def test_vocabulary():
    assert charlm.vocabulary_of("banana") == "abn"
    many = "".join(chr(c) for c in range(0x4E00, 0x4E00 + 300))
    text = "ab" * 30_000_0 + many
    assert charlm.vocabulary_of(text) == "ab" + charlm.UNKNOWN
    assert charlm.encode("ab\u4e00", charlm.vocabulary_of(text)).tolist() == [0, 1, 2]


def test_held_out_loss_is_that_of_the_whole_text_at_once():
    nn.manual_seed(0)
    model = charlm.CharacterModel(cells.CELLS["gru"], 5, 3, 4, 1, 0.0)
    numbers = np.random.default_rng(0).integers(5, size=(23, 2))
    logits, _ = model(mg.tensor(numbers[:-1]))
    whole = mg.cross_entropy(logits.reshape(-1, 5), mg.tensor(numbers[1:].reshape(-1))).item()
    assert charlm.held_out_loss(model, numbers, 6, 5) == pytest.approx(whole, rel=1e-6)


def test_side_by_side():
    streams = charlm.side_by_side(np.arange(17), 3, 4)
    assert streams.T.tolist() == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [10, 11, 12, 13, 14]]
    with pytest.raises(cli.BadInput, match="too short"):
        charlm.side_by_side(np.arange(14), 3, 4)


def test_the_engine_imports_nothing_of_models():
    code = "import sys, minigrad, minigrad.cli; print([m for m in sys.modules if 'minigrad.models' in m])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


@pytest.mark.parametrize("command", ["train", "check", "profile", "show", "compare"])
def test_a_cell_that_ends_the_process_later_is_a_line(command, minigrad, text, tmp_path):
    """Not at the first trial, with a batch of three, but when it is in use."""
    path = tmp_path / "mine.py"
    path.write_text(CELL.replace("MGUCell", "Mine").replace("f = mg", "x.shape[0] == 3 or exit(0)\n        f = mg"))
    cell = f"{path}:Mine"
    if command == "train":
        answer = minigrad("train", "charlm", "--text", text, "--cell", cell, "--out", tmp_path / "run", *SIZES)
    else:
        out = () if command in ("check", "compare") else ("--out", tmp_path / "page.html")
        answer = minigrad(command, cell, *out)
    if command == "check":
        assert answer[0] == 1 and "SystemExit: 0" in answer[1]
    else:
        refused(answer, "SystemExit", "mine.py, line")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
@pytest.mark.parametrize("kind", ["pipe", "device", "link to a device"])
def test_what_is_no_regular_file_is_refused_at_once_wherever_a_file_is_read(kind, minigrad, text, tmp_path):
    def put(path):
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        if kind == "pipe":
            os.mkfifo(path)
            return path
        path.symlink_to("/dev/zero")
        return "/dev/zero" if kind == "device" else path

    new, wanted = ("--out", tmp_path / "new"), "wanted a regular file"
    odd = put(tmp_path / "odd")
    refused(minigrad("train", "charlm", "--text", odd, *new), wanted)
    refused(minigrad("train", "words", "--text", odd, *new), wanted)
    refused(minigrad("train", "music", "--data", odd, *new), wanted)
    put(tmp_path / "data" / "a-train.conllu")
    refused(minigrad("train", "tagging", "--data", tmp_path / "data", *new), wanted)
    refused(minigrad("train", "charlm", "--text", text, "--cell", f"{odd}:Mine", *new), wanted)
    for command in ("check", "profile", "show", "compare"):
        refused(minigrad(command, f"{odd}:Mine"), wanted)
    run = tmp_path / "run"
    assert minigrad("train", "charlm", "--text", text, "--out", run, *SIZES, "--steps", 1)[0] == 0
    put(run / "checkpoint.safetensors")
    refused(minigrad("train", "charlm", "--resume", "--steps", 2, "--out", run), wanted)
    put(run / "weights.safetensors")
    refused(minigrad("train", "charlm", "--resume", "--steps", 2, "--out", run), wanted)
    refused(minigrad("sample", run), wanted)
    assert not (tmp_path / "new").exists()
