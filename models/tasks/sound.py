"""Sound: what a WAV file has, and its log-mel features."""

import io
import math
import warnings
from pathlib import Path

import numpy as np

from minigrad import disk
from minigrad.badinput import BadInput

RATE = 8000  # samples a second
WINDOW, HOP, BANDS = 256, 80, 40  # samples of a frame and from frame to frame: 32 and 10 ms; bands of a frame
FLOOR = 1e-6  # added to the power of a band, before its logarithm
LONGEST = 1 << 28  # bytes of a file


def read_wav(path: Path | str, option: str) -> np.ndarray:
    """The samples of a WAV file within ±1, float32: its channels' mean, at RATE. option: named in errors.

    Raises BadInput for what is none, damaged, empty, or of a rate that no microphone has.
    """
    from scipy.io import wavfile
    from scipy.signal import resample_poly

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", wavfile.WavFileWarning)  # chunks that are not sound
            rate, samples = wavfile.read(io.BytesIO(disk.read(path, LONGEST)))
    except OSError as error:
        raise BadInput(f"{option} {path}: {error.strerror or error}") from error
    except Exception as error:  # SciPy's parser meets a damaged header with errors of many kinds
        raise BadInput(f"{option} {path}: wanted a WAV file; {type(error).__name__}: {error}") from error
    if not 1000 <= rate <= 1_000_000:
        raise BadInput(f"{option} {path}: {rate} samples a second, wanted from 1,000 to 1,000,000")
    samples = within_one(samples)
    samples = samples.mean(axis=1) if samples.ndim == 2 else samples
    if not len(samples) or not np.isfinite(samples).all():
        raise BadInput(f"{option} {path}: no sound in it" if not len(samples) else f"{option} {path}: NaN in its sound")
    if rate != RATE:
        common = math.gcd(rate, RATE)
        samples = resample_poly(samples, RATE // common, rate // common)
    return samples.astype(np.float32)


def within_one(samples: np.ndarray) -> np.ndarray:
    """Samples as WAV files keep them, of unsigned bytes, signed integers or floats, as floats within ±1."""
    if samples.dtype.kind == "f":
        return samples.astype(np.float64)
    limits = np.iinfo(samples.dtype)
    middle = 0 if limits.min else (limits.max + 1) // 2
    return (samples.astype(np.float64) - middle) / (limits.max - middle + 1)


def log_mel(samples: np.ndarray) -> np.ndarray:
    """(frames, BANDS): logarithms of the power in each band of each frame that lies whole within the samples.

    A frame is WINDOW samples times a Hann window; its power |FFT|² is summed in triangular bands, whose corners are
    evenly spaced from 0 to RATE / 2 on the mel scale 2595 log10(1 + f / 700): torchaudio's MelSpectrogram with
    center=False, librosa's with htk=True, norm=None besides. Less than a frame of samples is filled up with zeros.
    """
    samples = np.pad(samples, (0, max(0, WINDOW - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    power = np.square(np.abs(np.fft.rfft(frames * hann)))
    return np.log(power @ mel_filters() + FLOOR).astype(np.float32)


def mel_filters() -> np.ndarray:
    """(WINDOW // 2 + 1, BANDS): the weight of each frequency of a frame in each band."""
    highest = 2595 * np.log10(1 + RATE / 2 / 700)
    corners = 700 * (10 ** (np.linspace(0, highest, BANDS + 2) / 2595) - 1)
    frequencies = np.linspace(0, RATE / 2, WINDOW // 2 + 1)[:, None]
    rises = (frequencies - corners[:-2]) / (corners[1:-1] - corners[:-2])
    falls = (corners[2:] - frequencies) / (corners[2:] - corners[1:-1])
    return np.maximum(0, np.minimum(rises, falls))
