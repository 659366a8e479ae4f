"""Settings: one value made of the command line, the environment and config files."""

from __future__ import annotations

from pathlib import Path

import pytest
from oslo_config import cfg

from dove_ryu import config
from dove_ryu.config import Settings, TlsSettings


def read(*arguments: str) -> Settings:
    conf = cfg.ConfigOpts()
    config.register(conf)
    return config.parse(conf, arguments, "test")


def test_defaults_of_the_options_and_of_the_value_are_the_same() -> None:
    assert read() == Settings()


def test_what_is_read_last_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = tmp_path / "one.conf", tmp_path / "two.conf"
    one.write_text("[dove]\nstore = one\npacket_in_rate = 1\npacket_in_burst = 31\n[DEFAULT]\nwsapi_port = 1\n")
    two.write_text("[dove]\nstore = two\npacket_in_rate = 2\n")
    monkeypatch.setenv("OS_DOVE__PACKET_IN_BURST", "99")
    settings = read("--config-file", str(one), "--config-file", str(two), "--dove-store", "line")
    assert (settings.store, settings.packet_in_rate, settings.packet_in_burst, settings.rest_port) == ("line", 2, 31, 1)


def test_applications() -> None:
    assert read("one", "two,three").applications == ("one", "two", "three")
    assert read("--app-lists", "zero", "one").applications == ("zero", "one")
    assert read().applications == ("dove_ryu.app",)


def test_store_of_a_user_and_of_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_STATE_HOME", "/home/ada/state")
    assert config.default_store() == "sqlite:////home/ada/state/dove/dps.sqlite"
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert config.default_store() == "sqlite:////var/lib/dove/dps.sqlite"


def test_tls_has_a_port_of_its_own() -> None:
    settings = read("--ctl-privkey", "k", "--ctl-cert", "c", "--ofp-ssl-listen-port", "6654")
    assert settings.openflow_tls == TlsSettings("k", "c")
    assert settings.openflow_port == 6654
    assert read("--ofp-ssl-listen-port", "6654").openflow_port == 6653


@pytest.mark.parametrize("arguments", [["--ctl-privkey", "k"], ["--ctl-cert", "c"], ["--ca-certs", "a"]])
def test_half_of_tls_is_refused(arguments: list[str]) -> None:
    with pytest.raises(config.OptionError, match="missing"):
        read(*arguments)


def test_log_levels() -> None:
    assert read("--dove-log-levels", "a.b=DEBUG,c=ERROR").log_levels == (("a.b", "DEBUG"), ("c", "ERROR"))


def test_options_can_be_added_after_the_command_line_was_read_by_another_command() -> None:
    conf = cfg.ConfigOpts()
    conf.register_cli_opt(cfg.IntOpt("ofp-tcp-listen-port"))
    conf.register_cli_opts([cfg.StrOpt(name) for name in ["ctl-privkey", "ctl-cert", "ca-certs", "ofp-listen-host"]])
    conf.register_cli_opts([cfg.StrOpt("wsapi-host"), cfg.IntOpt("wsapi-port", default=8080), cfg.StrOpt("pid-file")])
    conf.register_cli_opts([cfg.ListOpt("app-lists", default=[]), cfg.MultiStrOpt("app", default=[])])
    conf([])
    config.register(conf)
    settings = config.settings(conf)
    assert (settings.openflow_port, settings.rest_port, settings.packet_in_burst) == (6653, 8080, 5000)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("--dove-stroe=x", "unknown option --dove-stroe; did you mean --dove-store?"),
        ("--zzz", "unknown option --zzz; `ryu-manager --help` lists those there are"),
        ("--wsapi-port many", "--wsapi-port: invalid Port(min=0, max=65535) value: many"),
        ("--wsapi-port", "argument --wsapi-port: expected one argument"),
        ("--dove-packet-in-burst 0", "--dove-packet-in-burst: invalid Integer(min=25) value: 0"),
        (
            "--dove-log-levels a=LOUD",
            "log_levels: 'a=LOUD' is not LOGGER=LEVEL with one of DEBUG, INFO, WARNING, ERROR",
        ),
        ("--config-file /none", "Failed to find some config files: /none"),
    ],
)
def test_bad_option(arguments: str, line: str) -> None:
    with pytest.raises(config.OptionError) as error:
        read(*arguments.split())
    assert str(error.value).startswith(line)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "[dove]\npacket_in_brust = 3\n",
            "section [dove] has no option packet_in_brust; did you mean packet_in_burst?",
        ),
        ("[dove]\npacket_in_burst = x\n", "--dove-packet-in-burst: invalid Integer(min=25) value: x"),
        ("[DEFAULT]\nwsapi_port = x\n", "--wsapi-port: invalid Port(min=0, max=65535) value: x"),
        ("[dove\n", "Invalid section (must end with ])"),
    ],
)
def test_bad_config_file(tmp_path: Path, text: str, line: str) -> None:
    file = tmp_path / "dove.conf"
    file.write_text(text)
    with pytest.raises(config.OptionError) as error:
        read("--config-file", str(file))
    assert line in str(error.value)
    assert "\n" not in str(error.value)
