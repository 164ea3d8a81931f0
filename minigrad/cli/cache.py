"""The commands about the cache of compiled kernels."""

from minigrad.badinput import BadInput
from minigrad.kernels import cache


def info():
    """Where the cache is, how much it holds, and whether it can be used."""
    folder = cache.folder()
    try:
        limit = cache.limit()
    except ValueError as error:
        raise BadInput(error) from error
    try:
        sizes = [status.st_size for _, status in cache.ours(folder)]
        held = [f"files   {len(sizes)}", f"size    {sum(sizes) / 1e6:.1f} MB"]
    except OSError as error:
        held = [f"files   unknown: {error.strerror}"]
    reason = cache.trouble(folder)
    usable = f"no: {reason}" if reason else "yes"
    print(f"folder  {folder}", *held, f"limit   {limit / 1e6:g} MB", f"usable  {usable}", sep="\n")


def clear():
    """Remove every kernel from the cache; they are compiled anew when they are needed."""
    count, size = cache.clear()
    print(f"removed {count} {'file' if count == 1 else 'files'}, {size / 1e6:.1f} MB, from {cache.folder()}")
