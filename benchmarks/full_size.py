"""The same as `benchmarks.trial` on full-size SDXL of random weights at 1024 x 1024, and with torch.compile.

    python -m benchmarks.full_size [FOLDER]

Writes two checkpoints (14 GB) into FOLDER, or into a temporary one, and for the way by hand their merge
(7 GB) into the system's temporary folder. Meant for a GPU, of 24 GB or more: `make bench-gpu`.
"""

from pathlib import Path

from benchmarks import trial
from benchmarks.random_sdxl import in_a_folder

EXPERIMENT = """
name = "full-size"
[models]
a = "a.safetensors"
b = "b.safetensors"
[[merge]]
models = ["a", "b"]
ratio = { low = 0.0, high = 1.0, step = 0.1 }
[render]
steps = 20
[[prompt]]
text = "a lighthouse on a cliff at dusk, oil painting"
seeds = [1, 2, 3, 4]
[[prompt]]
text = "a red fox asleep in the snow"
negative = "lowres, blurry"
seeds = [5, 6, 7, 8]
"""


def main(folder: Path) -> None:
    (folder / "full-size.toml").write_text(EXPERIMENT)
    trial.main(folder / "full-size.toml", compiled=True)


if __name__ == "__main__":
    in_a_folder(main)
