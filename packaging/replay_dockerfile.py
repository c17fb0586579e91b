"""Replay the steps of a Dockerfile's target in plain folders, where no container engine is at hand.

    sudo python3 packaging/replay_dockerfile.py jetson --work /var/tmp/replay \
        --base nvcr.io/nvidia/l4t-tensorrt:r10.3.0-runtime=/srv/roots/jammy

Each stage is a copy of a root file system given by --base, such as one of debootstrap with the
Python that the image has. RUN steps run in it by chroot, in a mount namespace of their own;
COPY takes the files that git knows or would add. At the end the entry point runs as the image's
user, and nothing that --absent names may be importable. It shows that the steps install what they
should, not that the base image is as assumed.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

CONTEXT = Path(__file__).resolve().parents[1]
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What the entry point must do: start, check a bundle and its engines, run frames.
CHECKS = ("--help", "info {bundle}", "bench {bundle} --size 64x36 --samples 1 --seconds 0")
FIND_BUNDLE = "from runtime.installed import installed_bundle as b; print(b().resolve())"


@dataclass(frozen=True)
class Step:
    """An instruction, its flags such as ``--from=wheel``, and the rest of it."""

    word: str
    flags: dict[str, str]
    rest: str


@dataclass
class Stage:
    """What stands between one FROM and the next."""

    base: str
    name: str
    steps: list[Step] = field(default_factory=list)


@dataclass
class Image:
    """A stage as built so far."""

    root: Path
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": PATH})
    folder: str = "/"
    user: str = "0"
    entry: list[str] = field(default_factory=list)


def parse(text: str, arguments: Mapping[str, str]) -> dict[str, Stage]:
    """Stages by name; ``arguments`` go over the defaults of the ARGs before the first FROM."""
    known: dict[str, str] = {}
    stages: dict[str, Stage] = {}
    stage: Stage | None = None
    for line in _logical_lines(text):
        step = _step(line)
        if step.word == "FROM":
            base, *name = re.split(r"\s+AS\s+", step.rest, flags=re.IGNORECASE)
            stage = Stage(_filled(base, known), name[0] if name else str(len(stages)))
            stages[stage.name] = stage
        elif stage is not None:
            stage.steps.append(step)
        elif step.word == "ARG":
            name, _, default = step.rest.partition("=")
            known[name] = arguments.get(name, default)
    return stages


def _logical_lines(text: str) -> list[str]:
    kept = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\s*\\\n\s*", " ", "\n".join(kept))
    return [line.strip() for line in joined.splitlines() if line.strip()]


def _step(line: str) -> Step:
    word, _, rest = line.partition(" ")
    flags = {}
    while match := re.match(r"\s*--([\w-]+)=(\S+)\s*", rest):
        flags[match[1]] = match[2]
        rest = rest[match.end() :]
    return Step(word.upper(), flags, rest.strip())


def _filled(text: str, values: Mapping[str, str]) -> str:
    """With ``$NAME`` and ``${NAME}`` replaced."""
    return re.sub(r"\$\{?(\w+)\}?", lambda match: values.get(match[1], ""), text)


class Replay:
    """Builds stages below ``work``, each once."""

    def __init__(
        self,
        stages: Mapping[str, Stage],
        bases: Mapping[str, Path],
        arguments: Mapping[str, str],
        work: Path,
    ) -> None:
        self._stages, self._bases, self._arguments, self._work = stages, bases, arguments, work
        self._images: dict[str, Image] = {}

    def image(self, name: str) -> Image:
        """The finished stage; KeyError names a base that was not given."""
        if name not in self._images:
            self._images[name] = self._build(self._stages[name])
        return self._images[name]

    def _build(self, stage: Stage) -> Image:
        root = self._work / stage.name
        source = self.image(stage.base).root if stage.base in self._stages else None
        source = source or self._bases[stage.base]
        _say(f"FROM {stage.base} AS {stage.name}: {source}")
        if root.exists():
            raise FileExistsError(f"{root} is in the way: give an empty --work")
        root.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-a", f"{source}/.", str(root)], check=True)
        image = Image(root)
        for step in stage.steps:
            _say(f"{stage.name}: {step.word} {step.rest}")
            getattr(self, f"_{step.word.lower()}")(image, step)
        return image

    def _arg(self, image: Image, step: Step) -> None:
        name, _, default = step.rest.partition("=")
        image.environment[name] = self._arguments.get(name, default.strip('"'))

    def _env(self, image: Image, step: Step) -> None:
        for part in shlex.split(_filled(step.rest, image.environment)):
            name, _, value = part.partition("=")
            image.environment[name] = value

    def _workdir(self, image: Image, step: Step) -> None:
        image.folder = step.rest
        (image.root / step.rest.lstrip("/")).mkdir(parents=True, exist_ok=True)

    def _user(self, image: Image, step: Step) -> None:
        image.user = step.rest

    def _entrypoint(self, image: Image, step: Step) -> None:
        image.entry = json.loads(step.rest)

    def _cmd(self, image: Image, step: Step) -> None:
        """The checks give their own words."""

    def _copy(self, image: Image, step: Step) -> None:
        source, target = step.rest.split()
        place = image.root / image.folder.lstrip("/") / target.removeprefix("./")
        if target.startswith("/"):
            place = image.root / target.lstrip("/")
        if "from" in step.flags:
            there = self.image(step.flags["from"]).root / source.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            subprocess.run(["cp", "-a", str(there), str(place)], check=True)
        elif source == ".":
            for name in _context_files():
                _copy_file(CONTEXT / name, place / name)
        else:
            _copy_file(CONTEXT / source, place)

    def _run(self, image: Image, step: Step) -> None:
        mounts = []
        if "mount" in step.flags:
            options = dict(part.split("=", 1) for part in step.flags["mount"].split(","))
            there = self.image(options["from"]).root / options["source"].lstrip("/")
            mounts.append((there, options["target"]))
        subprocess.run(inside(image, ["/bin/sh", "-c", step.rest], mounts), check=True)


def inside(
    image: Image, command: Sequence[str], mounts: Sequence[tuple[Path, str]] = ()
) -> list[str]:
    """The command that runs another one in an image, as its user and in its folder."""
    lines = ["set -e"]
    for source, target in [(Path("/proc"), "/proc"), (Path("/dev"), "/dev"), *mounts]:
        place = shlex.quote(f"{image.root}{target}")
        lines.append(f"mkdir -p {place}; mount --rbind {shlex.quote(str(source))} {place}")
    settings = shlex.join(f"{name}={value}" for name, value in image.environment.items())
    user = f"--userspec={image.user}:{image.user}"
    shell = shlex.quote(f"cd {shlex.quote(image.folder)} && exec {shlex.join(command)}")
    root = shlex.quote(str(image.root))
    lines.append(f"exec chroot {user} {root} /usr/bin/env -i {settings} /bin/sh -c {shell}")
    return ["unshare", "--mount", "/bin/sh", "-c", "\n".join(lines)]


def check(image: Image, absent: Sequence[str]) -> None:
    """Run the entry point and look for what may not be there; RuntimeError if it is."""
    code = (
        "import importlib.util as u, sys; "
        f"found = [m for m in {list(absent)!r} if u.find_spec(m)]; "
        "print(sys.version.split()[0], 'has', found or 'none of them'); sys.exit(bool(found))"
    )
    if subprocess.run(inside(image, ["python", "-c", code]), check=False).returncode:
        raise RuntimeError(f"{', '.join(absent)} must not be in this image")
    found = subprocess.run(
        inside(image, ["python", "-c", FIND_BUNDLE]), check=True, capture_output=True, text=True
    )
    for words in CHECKS:
        command = [*image.entry, *words.format(bundle=found.stdout.strip()).split()]
        _say(f"as user {image.user}: {shlex.join(command)}")
        subprocess.run(inside(image, command), check=True)


def _context_files() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=CONTEXT,
        check=True,
        capture_output=True,
        text=True,
    )
    return [name for name in listed.stdout.split("\0") if name]


def _copy_file(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def _say(text: str) -> None:
    sys.stderr.write(f"--- {text}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Command line entry."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("target")
    add("--file", type=Path, default=CONTEXT / "Dockerfile")
    add("--work", type=Path, required=True, help="a folder that is empty or not there")
    add("--base", type=_pair, action="append", default=[], metavar="IMAGE=FOLDER")
    add("--build-arg", type=_pair, action="append", default=[], metavar="NAME=VALUE")
    add("--absent", default="torch,onnx", help="modules that may not be there, comma separated")
    args = parser.parse_args(argv)
    arguments = dict(args.build_arg)
    stages = parse(args.file.read_text(), arguments)
    bases = {name: Path(folder) for name, folder in args.base}
    try:
        image = Replay(stages, bases, arguments, args.work).image(args.target)
        check(image, [name for name in args.absent.split(",") if name])
    except KeyError as error:
        parser.error(f"{error} is no stage and no --base; stages: {', '.join(stages)}")
    except subprocess.CalledProcessError as error:
        _say(f"failed with status {error.returncode}: {error.cmd[-1].splitlines()[-1]}")
        return 1
    except (OSError, RuntimeError) as error:
        _say(str(error))
        return 1
    _say(f"{args.target}: every step ran")
    return 0


if __name__ == "__main__":
    sys.exit(main())
