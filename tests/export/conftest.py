import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "compile"))  # the cells that Hypothesis draws, the published cells
