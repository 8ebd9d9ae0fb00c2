"""The image and the composition, as far as they can be tried without an engine to run them."""

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from app.errors import Exposed
from app.gate import check_exposure
from app.settings import Settings, load_settings
from lectern import __version__
from tests.app.served import ROOT, Server


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """One instruction of a Dockerfile, its continued lines joined; `stage` counts from 0."""

    stage: int
    name: str
    value: str


def instructions() -> list[Instruction]:
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    found: list[Instruction] = []
    stage = -1
    for line in filter(None, lines):
        name, _, value = line.partition(" ")
        stage += name == "FROM"
        found.append(Instruction(stage=stage, name=name, value=value.strip()))
    return found


def final(name: str) -> str:
    last = max(each.stage for each in instructions())
    (value,) = (each.value for each in instructions() if each.stage == last and each.name == name)
    return value


def environment() -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in shlex.split(final("ENV")))


def compose(path: str) -> dict:
    return yaml.safe_load((ROOT / path).read_text())


def settings_of_compose(**given: str) -> Settings:
    """The service's settings as compose fills them in, in an environment that holds what is given."""
    inside = {name: value for name, value in environment().items() if name.startswith("LECTERN_")}
    inside |= compose("docker-compose.yml")["services"]["lectern"]["environment"]
    filled = re.compile(r"\$\{(\w+):-([^}]*)\}")
    return load_settings(
        {name: filled.sub(lambda m: given.get(m[1]) or m[2], str(value)) for name, value in inside.items()}
    )


def test_what_the_image_copies_exists_and_is_not_left_out_of_its_context() -> None:
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [each.value.split()[:-1] for each in instructions() if each.name == "COPY" and "--from" not in each.value]
    names = {name for sources in copied for name in sources}
    assert names == let_in
    assert all((ROOT / name).exists() for name in names)
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert {"app", "retriever", "model", "lectern"} <= names & packages


@pytest.mark.parametrize("command", [each.value for each in instructions() if each.name == "RUN"])
def test_the_commands_of_the_image_are_valid_shell(command: str) -> None:
    done = subprocess.run(["sh", "-n", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_build_takes_torch_by_its_pin_and_all_else_by_its_hash() -> None:
    runs = [each.value for each in instructions() if each.name == "RUN"]
    (torch,) = (run for run in runs if "TORCH_INDEX" in run)
    shell = re.search(r"\$\(sed .*constraints\.txt\)", torch)
    assert shell
    pin = subprocess.check_output(["sh", "-c", f'printf %s "{shell.group()}"'], cwd=ROOT, text=True)
    assert re.fullmatch(r"torch==\d+\.\d+\.\d+", pin)
    assert f"\n{pin} " in (ROOT / "constraints.txt").read_text()
    installs = [run for run in runs if "pip install" in run]
    assert installs.pop(0) == torch
    assert all("--no-deps" in run for run in installs)
    assert [re.search(r"-r (\S+)", run)[1] for run in installs if "--require-hashes" in run] == [  # type: ignore[index]
        "requirements.lock",
        "tools.lock",
    ]
    assert [run.split()[-1] for run in installs if "--require-hashes" not in run] == ["."]


def test_the_image_runs_as_nobody_in_particular_with_settings_that_exist() -> None:
    assert int(final("USER").split(":")[0]) >= 1000
    given = {name: value for name, value in environment().items() if name.startswith("LECTERN_")}
    settings = load_settings(given)
    assert (settings.host, settings.port) == ("0.0.0.0", int(final("EXPOSE")))
    assert str(settings.data_dir) == final("VOLUME")
    assert json.loads(final("CMD")) == ["lectern", "serve"]


def test_the_health_check_tells_a_running_service_from_one_that_is_away(tmp_path: Path) -> None:
    check = json.loads(final("HEALTHCHECK").split("CMD ", 1)[1])
    server = Server(tmp_path / "data")
    port = server.url.rsplit(":", 1)[1]
    assert check[0] == "python"
    command = [sys.executable, *(part.replace(":8000/", f":{port}/") for part in check[1:])]
    healthy = subprocess.run(command, capture_output=True, timeout=30, check=False).returncode
    server.stop()
    assert server.process.stderr is not None
    server.process.stderr.close()
    away = subprocess.run(command, capture_output=True, timeout=30, check=False).returncode
    assert healthy == 0
    assert away != 0


def test_the_service_is_reached_through_its_gateway_only_and_has_no_way_out() -> None:
    composed = compose("docker-compose.yml")
    lectern, gateway = composed["services"]["lectern"], composed["services"]["gateway"]
    assert "ports" not in lectern
    assert lectern["networks"] == ["inside"]
    assert composed["networks"]["inside"]["internal"] is True
    assert gateway["ports"] == ["${GATEWAY_ADDRESS:-127.0.0.1}:${GATEWAY_PORT:-8080}:8080"]
    for service in (lectern, gateway):
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
    assert lectern["volumes"] == [f"data:{final('VOLUME')}"]
    assert list(composed["volumes"]) == ["data"]
    assert settings_of_compose().forwarded_allow_ips == "*"
    assert int(lectern["stop_grace_period"].rstrip("s")) > Settings().shutdown_timeout


def test_the_composition_is_open_on_loopback_and_asks_for_keys_where_its_gateway_is_published(tmp_path: Path) -> None:
    check_exposure(settings_of_compose().model_copy(update={"data_dir": tmp_path}))
    published = settings_of_compose(GATEWAY_ADDRESS="0.0.0.0").model_copy(update={"data_dir": tmp_path})
    assert (published.host, published.exposed) == ("0.0.0.0", True)
    with pytest.raises(Exposed):
        check_exposure(published)
    check_exposure(settings_of_compose(GATEWAY_ADDRESS="0.0.0.0", LECTERN_ALLOW_ANONYMOUS="true"))


def test_what_the_compositions_mount_exists() -> None:
    for path in ("docker-compose.yml", "deploy/compose.tls.yml"):
        mounts = compose(path)["services"]["gateway"]["volumes"]
        sources = [mount.split(":")[0] for mount in mounts if not mount.startswith("$")]
        assert sources
        assert all((ROOT / source).is_file() for source in sources)
    # A mount of the overlay replaces the base's at the same place.
    assert any(mount.endswith(":/etc/nginx/lectern/site.conf:ro") for mount in mounts)


def test_the_installed_command_starts_without_the_source_tree_s_help(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("lectern")
    done = subprocess.run([script, "version"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, f"lectern {__version__}\n")
    assert os.access(script, os.X_OK)
