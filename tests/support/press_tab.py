#!/usr/bin/python3
"""What a real shell makes of TAB.

    press_tab.py SHELL COMPLETIONS FOLDER

SHELL is bash, zsh or fish, COMPLETIONS the directory with thinvol.SHELL, FOLDER one to work in.
Reads cases from stdin, a line each: what is typed, " => ", and what then stands on the command
line, each up to a "|"; or, behind " => ?", words that are offered, and behind a "!" words that are
not. Complains and exits 1 at the first that differs.

Nothing sleeps: control-G has the shell write its line to a pipe, which says that TAB is done.
"""

import os
import pty
import select
import shutil
import sys
import time

PATIENCE = 60  # seconds, after which a shell counts as stuck
SETUP = {
    "bash": """PS1='> '; . {completions}/thinvol.bash
bind 'set show-all-if-ambiguous on'; bind 'set completion-query-items 0'
bind 'set page-completions off'
bind -x '"\\C-g": printf "%s\\n" "$READLINE_LINE" >{pipe}'
echo ready >{pipe}
""",
    "zsh": """PS1='> '; fpath=({folder} $fpath); autoload -Uz compinit; compinit -u -d {folder}/dump
LISTMAX=10000; setopt nobeep nolistambiguous
tell() {{ print -r -- "$BUFFER" >{pipe}; }}; zle -N tell; bindkey '^G' tell
echo ready >{pipe}
""",
    "fish": """function fish_prompt; echo '> '; end; function fish_greeting; end
source {completions}/thinvol.fish
bind \\cg 'commandline >{pipe}'
echo ready >{pipe}
""",
}


class Shell:
    def __init__(self, name, completions, folder):
        self.name = name
        self.pipe = f"{folder}/pipe"
        os.mkfifo(self.pipe)
        self.reader = os.open(self.pipe, os.O_RDWR)
        rc = f"{folder}/.zshrc" if name == "zsh" else f"{folder}/rc"
        if name == "zsh":
            shutil.copy(f"{completions}/thinvol.zsh", f"{folder}/_thinvol")
        with open(rc, "w", encoding="utf-8") as file:
            file.write(SETUP[name].format(completions=completions, folder=folder, pipe=self.pipe))
        line = {"bash": ["bash", "--noprofile", "--rcfile", rc, "-i"], "zsh": ["zsh", "-i"],
                "fish": ["fish", "--no-config", "-i", "-C", f"source {rc}"]}[name]
        environment = dict(os.environ, TERM="xterm", COLUMNS="200", ZDOTDIR=folder, HOME=folder)
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.execvpe(line[0], line, environment)
        self.screen = b""
        self.told_so_far = b""
        self.told(PATIENCE)
        # What is typed before the shell reads its terminal in its own way may be lost.
        for n in range(PATIENCE):
            os.write(self.terminal, f"\x15hello{n}\x07".encode())
            if self.told(1, greetings=True):
                break

    def drain(self, seconds):
        if select.select([self.terminal], [], [], seconds)[0]:
            self.screen += os.read(self.terminal, 65536)

    def told(self, seconds, greetings=False):
        """The next line that the shell writes to the pipe; nothing, if it does not in time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            while b"\n" in self.told_so_far:
                line, self.told_so_far = self.told_so_far.split(b"\n", 1)
                if greetings or not line.startswith(b"hello"):
                    return line.decode()
            ready = select.select([self.reader, self.terminal], [], [], 1)[0]
            if self.terminal in ready:
                self.drain(0)
            if self.reader in ready:
                self.told_so_far += os.read(self.reader, 65536)
        return None

    def shows(self, words):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if all(word.encode() in self.screen for word in words):
                return True
            self.drain(1)
        return False

    def press(self, line):
        """Types the line and TAB; the command line as it is then."""
        self.screen = b""
        os.write(self.terminal, b"\x15" + line.encode() + b"\t\x07")
        became = self.told(PATIENCE)
        if became is None:
            raise SystemExit(f"the shell says nothing: {self.screen[-2000:]!r}")
        return became


def check(shell, case):
    line, expected = case.split(" => ")
    became = shell.press(line[:line.rindex("|")])
    if not expected.startswith("?"):
        wanted = expected[:expected.rindex("|")]
        # fish ends a word whatever follows, bash a quotation.
        ends = {"fish": (" ", "' ", '" '), "bash": ("'", '"'), "zsh": ()}[shell.name]
        same = became == wanted or became in [wanted + end for end in ends]
        return None if same else f"became '{became}'"
    offered, _, not_offered = expected[1:].partition("!")
    if not shell.shows(offered.split()):
        return f"shows {shell.screen!r}"
    wrong = [word for word in not_offered.split() if word.encode() in shell.screen]
    return f"offers {wrong}: {shell.screen!r}" if wrong else None


def main():
    name, completions, folder = sys.argv[1:]
    shell = Shell(name, completions, folder)
    cases = [line.rstrip("\n") for line in sys.stdin if " => " in line]
    for case in cases:
        trouble = check(shell, case)
        if trouble:
            raise SystemExit(f"{name}: {case}: {trouble}")
    os.close(shell.terminal)
    print(f"{name}: {len(cases)} lines")


main()
