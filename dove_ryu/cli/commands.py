"""The commands: each reads its arguments, asks the DPS, hands the answer to who shows it, and returns how it ended."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import click

from dove_ryu.cli import completion, drawing, files, screen, tables
from dove_ryu.cli.client import Client, located
from dove_ryu.cli.errors import BadArgument, Exit, Failure, Refused, Unreachable
from dove_ryu.cli.kinds import BLUEPRINTS, Kind, kind_called

DEFAULT_URL = "http://127.0.0.1:8080"


class Dove(click.Group):
    """Click's group, but for Ctrl-C and a closed pipe: both are the user's own doing, of which nothing is to be said.

    Click would answer a closed pipe with 1, which is ``diff``'s word for a difference.
    """

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            ctx.exit(Exit.INTERRUPTED)
        except BrokenPipeError:
            screen.forget()
            ctx.exit(Exit.UNREAD)


def run(arguments: Sequence[str]) -> int:
    """Run one command line; what went wrong is on standard error.

    :returns: the exit code.
    """
    try:
        return int(dove.main(list(arguments), prog_name="dove", standalone_mode=False) or Exit.DONE)
    except Failure as failure:
        screen.complain(*failure.reasons)
        return failure.code
    except click.ClickException as error:
        screen.complain(_usage(error))
        return Exit.USAGE


def _usage(error: click.ClickException) -> str:
    """Click's own message in our one line."""
    reason = error.format_message().removesuffix(".").replace(". Did you mean", "; did you mean")
    context = error.ctx if isinstance(error, click.UsageError) else None
    asked = context.command_path if context is not None else "dove"
    return f"{reason[:1].lower()}{' '.join(reason[1:].split())} (see `{asked} --help`)"


def _kind(_context: click.Context, _parameter: click.Parameter, name: str) -> Kind:
    return kind_called(name)


@contextlib.contextmanager
def _understood(url: str) -> Iterator[None]:
    """Say in words that an answer is not made as a DPS's is: another version gave it, or something else altogether."""
    try:
        yield
    except KeyError as lacking:
        reason = f"its answer lacks {lacking}; are both of one version, and is --url or DOVE_URL right?"
        raise Unreachable(f"{url} does not answer as this command expects: {reason}") from None


FILES = click.option(
    "-f",
    "--file",
    "names",
    metavar="FILE",
    multiple=True,
    required=True,
    type=click.Path(allow_dash=True),
    help="A file of blueprints and appliances; '-' is the standard input. May be given several times.",
)
KIND = click.argument("kind", callback=_kind, shell_complete=completion.kinds)
NETWORK = click.option(
    "-n", "--network", metavar="NET", shell_complete=completion.networks, help="Within this network."
)


@click.group(cls=Dove, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="dove_ryu", message="dove %(version)s")
@click.option(
    "--url", envvar="DOVE_URL", show_envvar=True, default=DEFAULT_URL, show_default=True, help="Where the DPS is."
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    default=30.0,
    show_default=True,
    help="How long to wait for an answer.",
)
@click.pass_context
def dove(context: click.Context, url: str, timeout: float) -> None:
    """Virtual networks by blueprint: say what shall be, see what is, ask why."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(Exit.USAGE)
    client = context.obj = context.with_resource(Client(url, timeout))
    context.with_resource(_understood(client.url))


@dove.command()
@FILES
@click.option("--dry-run", is_flag=True, help="Print the same and change nothing.")
@click.pass_obj
def apply(client: Client, names: tuple[str, ...], dry_run: bool) -> Exit:
    """Make networks and appliances what their documents say; print what changed.

    A document says all of what it is about: what it leaves out is removed. Appliances come first, for networks need
    them.
    """

    def put(document: files.Document, progress: str) -> Exit:
        changes = _put(client, document, dry_run)
        drawing.changes(document.title, changes, progress, dry_run)
        return Exit.DONE

    return _for_each(names, put)


@dove.command()
@FILES
@click.pass_obj
def diff(client: Client, names: tuple[str, ...]) -> Exit:
    """Show in what networks and appliances differ from their documents. Exit code 1: they do."""

    def compare(document: files.Document, _progress: str) -> Exit:
        changes = _put(client, document, dry_run=True)
        drawing.differences(document.title, document.source, changes)
        return Exit.DIFFERENT if changes else Exit.DONE

    return _for_each(names, compare)


def _for_each(names: tuple[str, ...], work: Callable[[files.Document, str], Exit]) -> Exit:
    """Do *work* on every document of the files; one that is refused does not hold up the others.

    All files are read before the first is sent.

    :returns: the highest of the codes.
    """
    documents = files.read(names)
    worst = Exit.DONE
    for number, document in enumerate(documents, 1):
        progress = f"{number} of {len(documents)}" if len(documents) > 1 else ""
        try:
            worst = max(worst, work(document, progress))
        except Refused as refusal:
            screen.complain(*_in_file(refusal, document))
            worst = max(worst, refusal.code)
    return worst


def _put(client: Client, document: files.Document, dry_run: bool) -> list[dict[str, Any]]:
    """Put *document*, or only ask what that would change."""
    changes: list[dict[str, Any]]
    if document.kind is files.About.NETWORK:
        parameters = {"dry_run": "true"} if dry_run else {}
        changes = client.put("networks", document.name, "blueprint", value=document.content, **parameters)["changes"]
        return changes
    changes = client.put("appliances", document.name, value=document.content, dry_run="true")["changes"]
    if changes and not dry_run:
        client.put("appliances", document.name, value=document.content)
    return changes


def _in_file(refusal: Refused, document: files.Document) -> list[str]:
    """The reasons of a refusal, each with the line that it is about."""
    if not refusal.problems:
        said = f"{document.kind.value} '{document.name}'"
        return [f"{document.where()}: {said}: {reason}" for reason in refusal.reasons]
    return [f"{document.where(place)}: {located(place, reason)}" for place, reason in refusal.problems]


@dove.command()
@KIND
@click.argument("name", required=False, shell_complete=completion.names)
@NETWORK
@click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "wide", "json", "yaml"]),
    default="table",
    show_default=True,
    help="How to print it; json and yaml are what REST returns.",
)
@click.pass_obj
def get(client: Client, kind: Kind, name: str | None, network: str | None, output: str) -> None:
    """Show the objects of a KIND, or the one called NAME.

    KIND is networks, dswitches, appliances or, with -n, domains, actions, policies, endpoints; also in the singular, or
    short.
    `get blueprint NET` prints a network as the file that `apply` would take.
    """
    found = client.get(*kind.path(network, *([] if name is None else [name])))
    if output == "json":
        screen.as_json(found)
    elif output == "yaml" or kind is BLUEPRINTS:
        screen.as_yaml(found)
    else:
        tables.show(kind, found if name is None else [found], wide=output == "wide")


@dove.command()
@KIND
@click.argument("name", shell_complete=completion.names)
@NETWORK
@click.pass_obj
def delete(client: Client, kind: Kind, name: str, network: str | None) -> None:
    """Delete the object of a KIND that is called NAME.

    What others still refer to is not deleted; the message says who does.
    """
    if kind is BLUEPRINTS:
        raise BadArgument(f"a blueprint goes with its network: `dove delete network {name}`")
    client.delete(*kind.path(network, name))
    screen.say(f"{kind.singular} '{name}' deleted" + (f" from network '{network}'" if kind.within_network else ""))


@dove.command()
@click.option(
    "-n", "--network", metavar="NET", required=True, shell_complete=completion.networks, help="In this network."
)
@click.argument("source", metavar="SRC", shell_complete=completion.endpoints)
@click.argument("destination", metavar="DST", shell_complete=completion.endpoints)
@click.option("--tcp", metavar="PORT:PORT", default="", help="Ask of this connection: its ports at SRC and at DST.")
@click.option("--udp", metavar="PORT:PORT", default="", help="Likewise.")
@click.option("--live", is_flag=True, help="Send a ping as from SRC, and say where it was seen.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_obj
def trace(
    client: Client, network: str, source: str, destination: str, tcp: str, udp: str, live: bool, output: str
) -> None:
    """Say what happens to a packet from endpoint SRC to endpoint or address DST, and why.

    It asks the DPS and sends nothing, but with --live. Which instance of an appliance a packet passes depends on its
    connection: without --tcp or --udp all that it may be are named.
    """
    if [bool(tcp), bool(udp), live].count(True) > 1:
        raise BadArgument("say one of --tcp, --udp and --live, which sends a ping")
    connection = {"protocol": "tcp" if tcp else "udp", "ports": tcp or udp} if tcp or udp else {}
    ask = client.post if live else client.get
    answer = ask("trace", network=network, source=source, destination=destination, **connection)
    if output == "json":
        screen.as_json(answer)
    else:
        drawing.trace(source, destination, answer)


@dove.command()
@click.argument("dswitches", metavar="[DSWITCH]...", nargs=-1, shell_complete=completion.dswitches)
@click.option("--repair", is_flag=True, help="Make right what differs, and look again.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_obj
def audit(client: Client, dswitches: tuple[str, ...], repair: bool, output: str) -> Exit:
    """Compare the flows of each DSWITCH, or of all, with what they should be. Exit code 1: they differ.

    It says which flows differ and why. With --repair the code is that of the second look.
    """
    worst, answers = Exit.DONE, []
    for dpid in dswitches or [str(each["dpid"]) for each in client.get("dswitches")]:
        try:
            answer = _audit(client, dpid, repair)
        except Refused as refusal:
            screen.complain(*refusal.reasons)
            worst = max(worst, refusal.code)
            continue
        answers.append(answer)
        worst = max(worst, Exit.DONE if answer["clean"] else Exit.DIFFERENT)
        if output == "text":
            drawing.audit(answer)
    if output == "json":
        screen.as_json(answers)
    return worst


def _audit(client: Client, dpid: str, repair: bool) -> dict[str, Any]:
    """What differs at a dSwitch or, after a repair, still differs; ``repaired`` is what did before."""
    repaired = client.post("dswitches", dpid, "audit", repair="true")["findings"] if repair else []
    answer = client.post("dswitches", dpid, "audit")
    return {**answer, "repaired": repaired}


@dove.command()
@click.option(
    "-n", "--network", metavar="NET", required=True, shell_complete=completion.networks, help="In this network."
)
@click.argument("endpoint", shell_complete=completion.endpoints)
@click.option("--to", metavar="DSWITCH", shell_complete=completion.dswitches, help="Begin a live migration to there.")
@click.option("--port", metavar="NAME", help="The port there; without it, the one whose iface-id says so.")
@click.option("--complete", is_flag=True, help="It runs there now: end the migration.")
@click.option("--abort", is_flag=True, help="It stays where it is: end the migration.")
@click.pass_obj
def migrate(
    client: Client, network: str, endpoint: str, to: str | None, port: str | None, complete: bool, abort: bool
) -> None:
    """Take ENDPOINT to another dSwitch without losing a packet.

    Traffic reaches both places until the endpoint speaks at the new one, which completes the migration by itself.
    """
    if [to is not None, complete, abort].count(True) != 1:
        raise BadArgument("say one of --to DSWITCH, --complete and --abort")
    if abort and port is not None:
        raise BadArgument("--port is the port at the target; with --abort there is none")
    path = ("networks", network, "endpoints", endpoint, "location")
    location, version = client.get_version(*path)
    wanted = _migration(endpoint, location, to, port, abort)
    # On the condition that it is still as it was read: it may have spoken there in this very moment.
    drawing.location(endpoint, client.put(*path, value=wanted, version=version))


def _migration(
    endpoint: str, location: dict[str, Any], to: str | None, port: str | None, abort: bool
) -> dict[str, Any]:
    """The location to put."""
    here, target = {"dswitch": location["dswitch"], "port": location["port"]}, location["migrating_to"]
    if to is not None:
        return {**here, "migrating_to": {"dswitch": to, "port": port or ""}}
    if target is None:
        raise Refused(f"endpoint '{endpoint}' is not migrating: it is at {tables.place(location)}")
    if abort:
        return here
    if not (port or target["port"]):
        raise Refused(f"nobody has said yet at which port of {target['dswitch']} '{endpoint}' is; say it with --port")
    return {"dswitch": target["dswitch"], "port": port or target["port"]}


@dove.command()
@click.pass_obj
def status(client: Client) -> None:
    """Show the DPS, its dSwitches and their connections."""
    drawing.status(client.url, client.get("status"))
    dswitches = client.get("dswitches")
    if dswitches:
        screen.say()
        tables.connections(dswitches)
