"""Print constraints for pip: the least versions that the extra `test` and what it consists of allow."""

import re
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
wanted, seen = ["test"], set()
lines = list(project["dependencies"])
while wanted:
    extra = wanted.pop()
    if extra not in seen:
        seen.add(extra)
        for line in project["optional-dependencies"][extra]:
            name, _, rest = line.partition("[")
            if name == project["name"]:
                wanted += rest.partition("]")[0].split(",")
            else:
                lines.append(line)
for line in sorted(set(lines)):
    name, least = re.fullmatch(r"([\w-]+)>=([\d.]+)", line).groups()
    print(f"{name}=={least}.*" if least.count(".") < 2 else f"{name}=={least}")
