"""Telling somebody: what is sent, to whom, once; and that nothing of it can disturb the work or give the address away."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from console.session import Session
from console.verbs.config import config_command
from engine.clock import utc_now
from engine.errors import ConfigurationError, StoreError
from engine.heartbeat import Heartbeat
from provision import notify
from provision.names import SINGLE
from provision.news import News
from provision.notify import Event, Kind, Notifier, parse_hook, parse_hooks, telling
from provision.profile import load_profiles, resolve_profile
from provision.runs import RunReader
from tests.provision.conftest import Wired

SECRET = "T0KEN-that-must-stay-secret"


@dataclass
class Inbox:
    """A server that takes messages, or does what else a test wants."""

    url: str = ""
    texts: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    """Answered one after the other, then 200."""
    hold: threading.Event = field(default_factory=threading.Event)
    """Answers wait for it."""


@contextmanager
def inbox() -> Iterator[Inbox]:
    box = Inbox()
    box.hold.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            box.hold.wait(30)
            box.headers.append(dict(self.headers))
            box.paths.append(self.path)
            status = box.statuses.pop(0) if box.statuses else 200
            if status == 200:
                box.texts.append(json.loads(body)["text"])
            self.send_response(status)
            if status in (301, 302, 307):
                self.send_header("Location", box.url + "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_arguments: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    box.url = f"http://127.0.0.1:{server.server_port}/services/{SECRET}"
    try:
        yield box
    finally:
        box.hold.set()
        server.shutdown()
        server.server_close()


@pytest.fixture
def box(monkeypatch: pytest.MonkeyPatch) -> Iterator[Inbox]:
    monkeypatch.setattr(notify, "PAUSES", (0.01, 0.01))
    with inbox() as opened:
        yield opened


def event(message: str = "done", kind: Kind = Kind.DONE, **more: Any) -> Event:
    return Event(kind, "r1", message, **more)


class TestSending:
    """What comes out of the machine."""

    def test_a_message_is_json_with_one_text_and_the_bell_rings(self, box: Inbox) -> None:
        rung: list[int] = []
        with telling(parse_hooks([box.url], local=True), bell=lambda: rung.append(1)):
            notify.tell(event("done, 4 shards"))
        assert box.texts == ["tickdeck: run r1: done, 4 shards"]
        assert box.headers[0]["Content-Type"] == "application/json"
        assert rung == [1]

    def test_several_addresses_each_hear_it_once_however_often_it_is_told(self, box: Inbox) -> None:
        with inbox() as other, telling(parse_hooks([box.url, other.url, box.url])):
            for _ in range(3):
                notify.tell(event())
            notify.tell(event("vm-a stuck", Kind.STUCK, subject="vm-a"))
            notify.tell(event("vm-b stuck", Kind.STUCK, subject="vm-b"))
        assert len(box.texts) == len(other.texts) == 3

    def test_what_came_from_outside_cannot_become_an_order_to_the_channel(self, box: Inbox) -> None:
        with telling(parse_hooks([box.url])):
            notify.tell(event("failed: <!channel> & <https://evil.example|click>", Kind.STUCK))
        assert box.texts == ["tickdeck: run r1: failed: &lt;!channel&gt; &amp; &lt;https://evil.example|click&gt;"]

    def test_a_passing_failure_is_ridden_out(self, box: Inbox) -> None:
        said: list[str] = []
        box.statuses = [503, 429]
        with telling(parse_hooks([box.url]), report=said.append):
            notify.tell(event())
        assert (len(box.texts), said) == (1, [])

    @pytest.mark.parametrize("status", [404, 302, 307])
    def test_a_refusal_is_not_repeated_and_no_redirection_is_followed(self, box: Inbox, status: int) -> None:
        said: list[str] = []
        box.statuses = [status] * 2
        with telling(parse_hooks([box.url]), report=said.append):
            notify.tell(event())
            notify.tell(event("second", Kind.LOST))
        assert said == [f"cannot notify 127.0.0.1: HTTP {status}; said once"]
        assert len(box.paths) == 2
        assert set(box.paths) == {f"/services/{SECRET}"}

    def test_an_address_that_is_away_is_said_once_without_the_address(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(notify, "PAUSES", (0.01, 0.01))
        said: list[str] = []
        with telling(parse_hooks([f"http://127.0.0.1:9/{SECRET}"]), report=said.append):
            for kind in Kind:
                notify.tell(event(kind=kind))
        assert len(said) == 1
        assert "ConnectionRefusedError" in said[0]
        assert SECRET not in said[0]

    def test_a_receiver_that_hangs_holds_up_nobody_and_a_flood_is_counted(self, box: Inbox) -> None:
        box.hold.clear()
        said: list[str] = []
        notifier = Notifier(parse_hooks([box.url]), report=said.append)
        flood = notify.WAITING + 50
        for number in range(flood):
            notifier.tell(event(f"{number}", subject=f"{number}"))
        assert 48 <= notifier.dropped <= 50
        notifier.close(0.05)
        assert any("notifications were dropped" in line for line in said)
        assert box.texts == []
        notifier.tell(event("after the end", Kind.CAP))
        box.hold.set()

    def test_a_bell_that_breaks_breaks_nothing(self, box: Inbox) -> None:
        def broken() -> None:
            raise OSError("the terminal is gone")

        with telling(parse_hooks([box.url]), bell=broken):
            notify.tell(event())
        assert len(box.texts) == 1

    def test_where_nobody_listens_telling_does_nothing(self) -> None:
        notify.tell(event())
        assert not notify.is_heard()


class TestAddresses:
    """Which are taken, and that none is shown."""

    @pytest.mark.parametrize(
        "url",
        [
            f"http://hooks.example.com/{SECRET}",
            f"ftp://127.0.0.1/{SECRET}",
            f"file:///{SECRET}",
            SECRET,
            "",
            f"https:///{SECRET}",
            f"https://[::1/{SECRET}",
            f"https://host:port/{SECRET}",
            f"https://host/{SECRET} x",
            f"https://host/{SECRET}\r\nX-Header: 1",
            f"http://127.0.0.1.evil.example/{SECRET}",
        ],
    )
    def test_one_that_cannot_be_meant_is_refused_without_being_repeated(self, url: str) -> None:
        with pytest.raises(ConfigurationError) as refused:
            parse_hook(url)
        assert SECRET not in f"{refused.value} {refused.value.hint}"

    def test_https_anywhere_and_http_here(self) -> None:
        assert parse_hook(f"https://hooks.slack.com/services/{SECRET}").host == "hooks.slack.com"
        assert parse_hook(f"http://[::1]:80/{SECRET}").loopback
        assert parse_hook(f"http://localhost:80/{SECRET}").loopback

    def test_in_a_local_profile_nothing_leaves_the_machine(self) -> None:
        with pytest.raises(ConfigurationError, match="not on this machine"):
            parse_hook(f"https://hooks.slack.com/{SECRET}", local=True)
        assert parse_hook(f"http://127.0.0.1:1/{SECRET}", local=True).loopback

    def test_no_text_of_it_shows_more_than_the_host(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        hook = parse_hook(f"https://hooks.slack.com/{SECRET}")
        assert SECRET not in f"{hook} {hook!r} {[hook]}"
        path = tmp_path / "config.toml"
        path.write_text(f'[profiles.lake]\nkind = "gcp"\nproject = "p"\nnotify = ["https://hooks.slack.com/{SECRET}"]\n')
        monkeypatch.setenv("TICKDECK_CONFIG", str(path))
        profile = resolve_profile("lake")
        assert profile.notify == (f"https://hooks.slack.com/{SECRET}",)
        assert SECRET not in repr(profile)
        for arguments in (["show", "--profile", "lake"], ["show", "--profile", "lake", "--json"]):
            shown = CliRunner().invoke(config_command, arguments, catch_exceptions=False)
            assert "hooks.slack.com" in shown.output
            assert SECRET not in shown.output
        path.write_text(f'[profiles.lake]\nkind = "gcp"\nproject = "p"\nnotify = [1, "{SECRET}"]\n')
        assert load_profiles().profiles
        with pytest.raises(ConfigurationError) as refused:
            resolve_profile("lake")
        assert SECRET not in str(refused.value)

    def test_the_environment_names_several(self) -> None:
        environment = {"TICKDECK_NOTIFY": "http://127.0.0.1:1/a,http://127.0.0.1:2/b"}
        assert resolve_profile("local", environment=environment).notify == ("http://127.0.0.1:1/a", "http://127.0.0.1:2/b")


def beat(wired: Wired, run: str, vm: str, **values: Any) -> None:
    """What the worker of this VM says of its one shard."""
    shard = 0 if vm.startswith(SINGLE) else int(vm.rsplit("-", 1)[1])
    wired.work(run, vm, shard, **values)


class TestNews:
    """What of a fleet on the wire is told."""

    def test_stuck_and_lost_vms_are_told_once_together_and_the_end_of_the_run(self, wired: Wired) -> None:
        run = wired.launch(4).order.run
        names = sorted(wired.names())
        for vm in names:
            beat(wired, run, vm)
        news = News(RunReader(wired.state).read)
        fresh = wired.look()
        assert news.of(fresh) == ()
        late = utc_now() + timedelta(minutes=10)
        (lost,) = news.of(wired.look(at=late))
        assert (lost.kind, lost.run) == (Kind.LOST, run)
        assert lost.message.startswith(f"{names[0]}, {names[1]}, {names[2]} and 1 more lost: ")
        assert news.of(wired.look(at=late)) == ()
        for vm in names:
            beat(wired, run, vm, state="done", gone=names)
        (done,) = news.of(wired.look())
        assert (done.kind, done.message) == (Kind.DONE, "done, 4 shards; 4 VMs still there: tickdeck cleanup")
        assert news.of(wired.look()) == ()

    def test_a_run_that_was_over_before_is_no_news_and_one_that_vanished_meanwhile_is(self, wired: Wired) -> None:
        run = wired.launch(1).order.run
        (vm,) = wired.names()
        beat(wired, run, vm)
        news, late_comer = News(RunReader(wired.state).read), News(RunReader(wired.state).read)
        news.of(wired.look())
        beat(wired, run, vm, state="done", gone=[vm])
        finished = wired.look()
        assert late_comer.of(finished) == ()
        (done,) = news.of(replace(finished, vms=(), runs=()))
        assert done.message == "done, 1 shard"

    @pytest.mark.parametrize(
        ("values", "kind", "part"),
        [
            ({"limited_by": "source 403: another IP address"}, Kind.REFUSED, "waits: source 403"),
            ({"exit_code": 77, "state": "failed", "last_error": "the source refuses the key (401)"}, Kind.REFUSED, "refuses the key (401)"),
            ({"limited_by": "allowance"}, Kind.CAP, "waits for 00:00 UTC"),
        ],
    )
    def test_the_first_refusal_and_the_cap_are_told_once_a_run(self, wired: Wired, values: dict[str, Any], kind: Kind, part: str) -> None:
        from engine.heartbeat import write_heartbeat

        run = wired.launch(2).order.run
        now = utc_now()
        for vm in wired.names():
            said = {"state": "working", "sequence": 1, "written": now, "started": now, **values}
            write_heartbeat(wired.state, Heartbeat(run=run, vm=vm, **said))
        news = News(RunReader(wired.state).read)
        found = [told for told in news.of(wired.look()) if told.kind is kind]
        assert len(found) == 1
        assert part in found[0].message
        assert [told for told in news.of(wired.look()) if told.kind is kind] == []

    def test_a_state_bucket_that_is_away_delays_the_news_and_fails_nothing(self, wired: Wired) -> None:
        run = wired.launch(1).order.run
        (vm,) = wired.names()
        beat(wired, run, vm)
        away = [True]

        def read_run(name: str) -> Any:
            if away[0]:
                raise StoreError("away")
            return RunReader(wired.state).read(name)

        news = News(read_run)
        news.of(wired.look())
        beat(wired, run, vm, state="done", gone=[vm])
        gone = replace(wired.look(), vms=(), runs=())
        assert news.of(gone) == ()
        away[0] = False
        assert [told.kind for told in news.of(gone)] == [Kind.DONE]

    def test_a_loop_that_looks_tells_the_profiles_addresses(self, wired: Wired, box: Inbox) -> None:
        session = Session(replace(wired.profile, notify=(box.url,)), None)
        run = wired.launch(1).order.run
        (vm,) = wired.names()
        beat(wired, run, vm)
        with session.watching.telling():
            session.watching.fleet(run)
            beat(wired, run, vm, state="done", gone=[vm])
            session.watching.fleet(run)
            session.watching.fleet(run)
        session.watching.fleet(run)
        assert box.texts == [f"tickdeck: run {run}: done, 1 shard; 1 VM still there: tickdeck cleanup"]
