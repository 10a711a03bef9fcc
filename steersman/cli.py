"""The command line: picks the command, prints help, and turns every foreseen error into one line and a status.

Exit status: 0 done, 1 it failed (the reason is on standard error), 2 the command line is wrong.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from steersman import KUBERNETES_VERSION, __version__

_API = KUBERNETES_VERSION.rpartition(".")[0]
HELP = f"""steersman {__version__}: the Kubernetes API ({_API}) on one machine, with real containers.

  steersman up                   run a cluster here, in the foreground (Ctrl-C stops it, nothing is lost)
  steersman status               what runs, and where
  steersman kubeconfig           print the administrator's kubeconfig; --merge puts it into ~/.kube/config
  steersman image load FILE.tar  load a container image (docker save, OCI archive) for pods to use
  steersman token create         make a token with which another machine joins as a node: `steersman nodeagent --join`
  steersman certs [rotate]       show the cluster's certificates, or issue them anew
  steersman reset                remove the cluster: containers, networks, data
  steersman version

Parts of a cluster by themselves, each with the flags of the original:
  steersman apiserver | controllers | scheduler | nodeagent

`steersman COMMAND --help` lists a command's flags. Start with `steersman up`.
"""


def main(arguments: Sequence[str]) -> int:
    """Run a command; the exit status."""
    if not arguments or arguments[0] in ("help", "--help", "-h"):
        sys.stdout.write(HELP)
        return 0
    name, rest = arguments[0], list(arguments[1:])
    if name in ("version", "--version"):
        sys.stdout.write(f"steersman {__version__}\nKubernetes API {KUBERNETES_VERSION}\n")
        return 0
    run = _commands().get(name)
    if run is None:
        sys.stderr.write(f"steersman: unknown command {name!r}. `steersman help` lists them.\n")
        return 2
    if any(argument in ("--help", "-h") for argument in rest):
        sys.stdout.write(_help(name))
        return 0
    return _guarded(run, rest)


def _guarded(run: Callable[[Sequence[str]], int], rest: Sequence[str]) -> int:
    from steersman.commands import CommandError
    from steersman.kubeconfig import KubeconfigError
    from steersman.options import OptionError
    from steersman.paths import DataDirError
    from steersman.supervisor import StartError

    try:
        return run(rest)
    except OptionError as error:
        sys.stderr.write(f"steersman: {error}\n")
        return 2
    except (CommandError, DataDirError, KubeconfigError, StartError) as error:
        sys.stderr.write(f"steersman: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has seen enough; keep the interpreter from failing on it once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _commands() -> dict[str, Callable[[Sequence[str]], int]]:
    from steersman import certs, commands, tokens, up

    def component(name: str) -> Callable[[Sequence[str]], int]:
        return lambda rest: up.component(name, rest)

    return {
        "up": up.up,
        "status": commands.status,
        "kubeconfig": commands.print_kubeconfig,
        "reset": commands.reset,
        "image": commands.image,
        "token": tokens.token,
        "certs": certs.certs,
        **{name: component(name) for name in ("apiserver", "controllers", "scheduler", "nodeagent")},
    }


def _help(name: str) -> str:
    from steersman import certs, commands, config, options, tokens

    if name == "token":
        return f"{tokens.USAGE}\n{options.help_text(tokens.TokenConfig)}\n"
    if name == "certs":
        return f"{certs.USAGE}\n{options.help_text(certs.CertsConfig)}\n"
    if name in commands.OPTIONS:
        return f"{commands.USAGE[name]}\n\n{options.help_text(commands.OPTIONS[name])}\n"
    components = config.COMPONENTS if name == "up" else (name,)
    whole = name == "up"
    parts = [f"steersman {name} [flags]\n"]
    if whole:
        parts.append(
            "A flag that several components have is the first one's below; with a component in front it is that one's:\n"
            "--scheduler.secure-port. Those that begin with --leader-elect are everybody's.\n"
        )
    parts.append(options.help_text(config.own_class(components), without=() if whole else ("disable",)))
    for component in components:
        parts += [f"\nFlags of the {component}:", options.help_text(config.config_class(component))]
    return "\n".join(parts) + "\n"
