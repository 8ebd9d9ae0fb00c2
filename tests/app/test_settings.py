from pathlib import Path

import pytest
from pydantic import ValidationError

from app.errors import SettingsError
from app.settings import Settings, load_settings, variables


def test_without_an_environment_every_setting_has_its_default():
    settings = load_settings({})
    assert (settings.host, settings.port, settings.data_dir) == ("127.0.0.1", 8000, Path("index_data"))
    assert settings.max_body_bytes == 50 * 1024 * 1024
    assert settings.store_url == "sqlite:///index_data/lectern.sqlite3"


def test_settings_are_read_from_the_environment():
    settings = load_settings({"LECTERN_PORT": "9000", "LECTERN_DATA_DIR": "/srv/lectern", "PATH": "/bin"})
    assert settings.port == 9000
    assert settings.index_dir == Path("/srv/lectern/indexes")


@pytest.mark.parametrize(
    ("wrong", "meant"), [("LECTERN_PROT", "LECTERN_PORT"), ("LECTERN_DATADIR", "LECTERN_DATA_DIR")]
)
def test_a_misspelt_variable_is_refused_with_the_nearest_name(wrong, meant):
    with pytest.raises(SettingsError, match=f"{wrong} is not a setting: did you mean {meant}"):
        load_settings({wrong: "1"})


def test_a_value_that_cannot_be_used_is_refused_by_the_name_of_its_variable():
    with pytest.raises(SettingsError, match="LECTERN_PORT cannot be used"):
        load_settings({"LECTERN_PORT": "many"})


def test_an_empty_variable_means_the_default():
    assert load_settings({"LECTERN_PORT": ""}).port == 8000


def test_settings_cannot_be_changed_and_take_no_unknown_name():
    with pytest.raises(ValidationError):
        Settings(prot=1)  # type: ignore[call-arg]
    with pytest.raises(ValidationError):
        Settings().port = 1  # type: ignore[misc]


def test_every_setting_is_described_in_one_line():
    for name, description in variables().items():
        assert description.endswith("."), name
        assert "\n" not in description, name
