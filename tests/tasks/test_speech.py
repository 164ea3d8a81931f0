"""Speech: WAV files, log-mel features against librosa's, strings of digits, a run and what it reads."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import wavfile

from minigrad.badinput import BadInput
from minigrad.models.tasks import sound, speech
from minigrad.models.tasks.ctcdigits import BLANK
from minigrad.models.tasks.sound import BANDS, HOP, RATE, WINDOW, log_mel, mel_filters, read_wav


def tone(digit: int, speaker: int, take: int) -> np.ndarray:
    """A quarter of a second of a pitch that is the digit's, and a little the speaker's and the take's."""
    t = np.arange(RATE // 4 + 40 * take) / RATE
    return 0.3 * np.sin(2 * np.pi * (300 * (digit + 1) + 7 * speaker + take) * t)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two speakers, digits 0 to 2, takes 3 to 6 of each: two to test on, two to train on."""
    folder = tmp_path_factory.mktemp("recordings")
    for digit in range(3):
        for k, speaker in enumerate(("ann", "bob_2")):
            for take in range(3, 7):
                samples = np.round(tone(digit, k, take) * 32767).astype(np.int16)
                wavfile.write(folder / f"{digit}_{speaker}_{take}.wav", RATE, samples)
    return folder


SIZES = ("--hidden", 3, "--batch", 2, "--longest", 2)


def test_a_few_steps_and_a_reading(few_steps, data, minigrad, tmp_path):
    row, run = few_steps("speech", "--data", data, *SIZES)
    assert row.keys() >= {"held_out_loss", "label_error", "beam_error"} and 0 <= row["template_error"] <= 1
    assert (run / "reading.png").read_bytes().startswith(b"\x89PNG")
    code, told, err = minigrad("sample", run, "--prompt", data / "1_ann_3.wav")
    _, *beam, _ = told.split("\n")
    assert (code, err) == (0, "") and all(line.startswith("  0.") for line in beam)
    chances = [float(line.split()[0]) for line in beam]
    assert chances == sorted(chances, reverse=True) and sum(chances) <= 1
    (tmp_path / "text.wav").write_text("no sound")
    for prompt, words in (
        (tmp_path / "none.wav", "No such file"),
        (tmp_path / "text.wav", "wanted a WAV file"),
        ("", "WAV"),
    ):
        code, _, err = minigrad("sample", run, "--prompt", prompt)
        assert code == 2 and err.startswith("minigrad: --prompt") and words in err and err.count("\n") == 1


def test_log_mel_is_that_of_librosa():
    """librosa 0.11.0: np.log(librosa.feature.melspectrogram(y=y, sr=8000, n_fft=256, hop_length=80, n_mels=40,
    htk=True, norm=None, center=False) + 1e-6).T, y the signal below in float64."""
    t = np.arange(2000) / 8000
    y = 0.5 * np.sin(2 * np.pi * 440 * t) + 0.25 * np.sin(2 * np.pi * (1000 * t + 1000 * t * t))
    told = log_mel(y)
    assert told.shape == (22, 40)
    figures = {
        (0, 0): -13.39364, (0, 9): 6.59301, (0, 20): -0.268, (10, 9): 6.59301, (10, 21): 5.70606, (21, 5): -9.17404,
        (21, 24): 4.28864, (21, 39): -13.81367,
    }  # fmt: skip
    for place, figure in figures.items():
        assert told[place] == pytest.approx(figure, abs=2e-5)


def test_every_band_hears_something_and_bands_overlap_by_half():
    filters = mel_filters()
    assert filters.shape == (WINDOW // 2 + 1, BANDS) and (filters.sum(axis=0) > 0).all()
    inner = filters.sum(axis=1)[4:-12]  # between the first band's middle and the last one's
    np.testing.assert_allclose(inner, 1, rtol=1e-9)


@given(samples=st.integers(1, 3 * WINDOW), gain=st.floats(0.01, 100))
def test_frames_and_gain(samples, gain):
    y = np.random.default_rng(samples).normal(size=samples)
    frames = log_mel(y)
    assert frames.shape == (1 + max(0, samples - WINDOW) // HOP, BANDS)
    if samples >= WINDOW:  # FLOOR is small beside noise
        np.testing.assert_allclose(log_mel(gain * y) - frames, np.log(gain**2), atol=0.2)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "float32", "float64"])
def test_wav_files_of_every_kind_hold_the_same(tmp_path, dtype):
    y = tone(2, 0, 0)
    scale, middle = {"uint8": (128, 128), "int16": (2**15, 0), "int32": (2**31, 0)}.get(dtype, (1, 0))
    kept = y * scale + middle
    kept = (np.round(kept) if scale > 1 else kept).astype(dtype)
    wavfile.write(tmp_path / "y.wav", RATE, kept)
    wavfile.write(tmp_path / "two.wav", RATE, np.stack([kept, kept], axis=1))
    for name in ("y.wav", "two.wav"):
        told = read_wav(tmp_path / name, "--prompt")
        np.testing.assert_allclose(told, y, atol=0.005 if dtype == "uint8" else 1e-4)


@pytest.mark.parametrize("rate", [4000, 11025, 16000, 44100, 48000])
def test_other_rates_are_resampled(tmp_path, rate):
    t = np.arange(rate) / rate
    wavfile.write(tmp_path / "y.wav", rate, np.sin(2 * np.pi * 600 * t).astype(np.float32))
    told = read_wav(tmp_path / "y.wav", "--prompt")
    assert len(told) == RATE
    wanted = np.sin(2 * np.pi * 600 * np.arange(RATE) / RATE)
    np.testing.assert_allclose(told[200:-200], wanted[200:-200], atol=0.01)  # the filter rings at the ends


@pytest.mark.parametrize(
    "rate, samples, words",
    [(10, [0.0] * 9, "10 samples a second"), (RATE, [], "no sound"), (RATE, [np.nan], "NaN")],
)
def test_bad_sounds(tmp_path, rate, samples, words):
    wavfile.write(tmp_path / "y.wav", rate, np.array(samples, np.float32))
    with pytest.raises(BadInput, match=words):
        read_wav(tmp_path / "y.wav", "--prompt")


@given(cut=st.integers(0, 60), byte=st.integers(0, 43), value=st.integers(0, 255))
def test_damaged_files_are_told_in_a_sentence(tmp_path_factory, cut, byte, value):
    path = tmp_path_factory.mktemp("damaged") / "y.wav"
    wavfile.write(path, RATE, np.zeros(8, np.int16))
    content = bytearray(path.read_bytes()[: 60 - cut])
    if byte < len(content):
        content[byte] = value
    path.write_bytes(content)
    try:
        samples = read_wav(path, "--prompt")
    except BadInput as error:
        assert str(error).startswith("--prompt")
    else:
        assert np.isfinite(samples).all()


def test_the_split_is_by_take_or_by_speaker(data):
    recordings = speech.recordings_in(data)
    assert len(recordings) == 24 and recordings["bob_2", 1, 5].dtype == np.float32
    training, test = speech.split_of(recordings, "")
    assert {k: len(v) for k, v in training.items()} == {k: len(v) for k, v in test.items()} == {"ann": 6, "bob_2": 6}
    np.testing.assert_allclose(test["ann"][0][1], tone(0, 0, 3), atol=1e-4)
    training, test = speech.split_of(recordings, "ann")
    assert list(training) == ["bob_2"] and list(test) == ["ann"] and len(test["ann"]) == len(training["bob_2"]) == 12


@given(seed=st.integers(0, 2**32 - 1), longest=st.integers(1, 4))
def test_strings_are_takes_of_one_speaker_in_their_order(seed, longest):
    recordings = {
        name: [(d, np.full(50 + d, 10.0 * k + d + 1, np.float32)) for d in range(5)] for k, name in enumerate("ab")
    }
    waves, labels = speech.strings_of(recordings, longest, 8, np.random.default_rng(seed))
    for wave, digits in zip(waves, labels):
        heard = wave[wave > 0]
        speaker = int(heard[0] - 1) // 10
        assert 1 <= len(digits) <= longest
        np.testing.assert_array_equal(heard, np.concatenate([recordings["ab"[speaker]][d][1] for d in digits]))
        assert len(wave) - len(heard) <= (len(digits) - 1) * speech.PAUSE * RATE and wave[0] > 0 and wave[-1] > 0


@given(seed=st.integers(0, 2**32 - 1), longest=st.integers(1, 4))
def test_each_take_is_tested_so_many_times(seed, longest):
    recordings = {name: [(d, np.ones(d + 1, np.float32)) for d in range(n)] for name, n in (("a", 5), ("b", 3))}
    waves, labels = speech.strings_of_all(recordings, longest, 3, np.random.default_rng(seed))
    counts = np.bincount([d for digits in labels for d in digits])
    assert counts.tolist() == [6, 6, 6, 3, 3] and all(1 <= len(digits) <= longest for digits in labels)
    assert [int(wave.sum()) for wave in waves] == [sum(digits) + len(digits) for digits in labels]


def test_a_template_tells_what_is_near():
    t = np.arange(2000) / RATE
    sweeps = [(d, np.sin(2 * np.pi * (500 + up * 800 * t) * t)) for d, up in enumerate((1, 2, -0.5))]
    assert speech.template_error({"a": sweeps}, {"a": sweeps}) == 0
    assert speech.template_error({"a": sweeps}, {"a": [(1, sweeps[0][1]), sweeps[1]]}) == 0.5


def test_features_of_a_string_have_no_mean_and_zeros_behind_them():
    waves = [np.random.default_rng(0).normal(size=n) for n in (WINDOW + 5 * HOP, WINDOW + 2 * HOP)]
    features, lengths = speech.features_of(waves)
    assert features.shape == (3, 2, speech.FEATURES) and lengths.tolist() == [3, 2] and not features[2, 1].any()
    frames = features[:, 0].reshape(6, BANDS)
    np.testing.assert_allclose(frames.mean(axis=0), 0, atol=1e-5)
    wanted = log_mel(waves[0])
    np.testing.assert_allclose(2 * np.diff(frames, axis=0), np.diff(wanted, axis=0), atol=1e-5)


def test_errors_of_strings():
    assert speech.label_error([[1, 2, 3], [4]], [[1, 3], [4, 4]]) == 0.5  # an insertion and a deletion of four


@pytest.mark.parametrize(
    "options, words",
    [
        ((), "--data: wanted"),
        (("--data", "EMPTY"), "no DIGIT_SPEAKER_TAKE.wav"),
        (("--data", "DATA", "--left-out", "zoe"), "ann, bob_2"),
    ],
)
def test_bad_data(options, words, data, minigrad, tmp_path):
    (tmp_path / "empty").mkdir()
    options = [{"EMPTY": tmp_path / "empty", "DATA": data}.get(o, o) for o in options]
    code, _, err = minigrad("train", "speech", *options, "--out", tmp_path / "run")
    assert code == 2 and words in err and err.count("\n") == 1 and not (tmp_path / "run").exists()
    (tmp_path / "empty" / "one.wav").write_bytes(b"")
    code, _, err = minigrad("train", "speech", "--data", tmp_path / "empty", "--out", tmp_path / "run")
    assert code == 2 and "one.wav: wanted a name" in err


def test_a_speaker_left_out_is_not_trained_on(data, tmp_path):
    task = speech.Speech(data=data, left_out="ann", hidden=2, longest=2, out=tmp_path / "run")
    assert task.about == "12 recordings to train on and 12 held out" and list(task.recordings) == ["bob_2"]
    features, _, labels, counts = task.draw(np.random.default_rng(0), 5)
    assert features.shape[1] == 5 and features.shape[2] == speech.FEATURES and labels.shape == (5, 2)
    assert labels.max() < BLANK and set(counts) <= {1, 2} and (features == 0).any()
    assert sound.RATE == 8000
