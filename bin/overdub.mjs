#!/usr/bin/env node
/**
 * Starts Overdub under a Node that can run it: the one that npm installed beside it, else this one if it is new
 * enough. Plain JavaScript without dependencies, so that an old system Node can run this much of it.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, realpathSync } from 'node:fs';
import * as module from 'node:module';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { fileURLToPath, pathToFileURL } from 'node:url';

const CONDITION = '--conditions=overdub-source';
const FLOOR = [22, 18];
const root = dirname(dirname(realpathSync(fileURLToPath(import.meta.url))));
const isCheckout = existsSync(join(root, 'core', 'cli', 'main.ts'));
const STARTED = 'OVERDUB_STARTED_BY';
/** Set for the start from a program just kept: should that not be found, another one must not be made, and so on. */
const KEPT = 'OVERDUB_PROGRAM_KEPT';
/**
 * An appliance runs for months: what is freed goes back to the system instead of staying in glibc's arenas. Chunks, most of which are
 * shorter than 2 MiB, are not mapped anew each time: that was a sixth of a restore's CPU (docs/overlays.md).
 */
const FRUGAL = { MALLOC_ARENA_MAX: '1', MALLOC_MMAP_THRESHOLD_: '2097152', MALLOC_TRIM_THRESHOLD_: '131072' };
/** Large buffers on large pages, where the system gives them to who asks (`madvise`): a twelfth of a restore's CPU was page faults. */
const HUGE_PAGES = { GLIBC_TUNABLES: 'glibc.malloc.hugetlb=1' };
/**
 * V8 counts the bytes of buffers against what its own heap may still grow: with a heap of 30 MiB and its usual room of 10, one
 * decompressed frame has all of it marked. A heap that may double first is marked a third as often (docs/overlays.md).
 */
const COLLECTOR = ['--max-semi-space-size=4', '--heap-growing-percent=100', '--expose-gc'];

// Set by ourselves only: inherited from another `overdub`, it names neither us nor our parent.
if ([process.pid, process.ppid].map(String).includes(process.env[STARTED])) {
  delete process.env[STARTED];
  await start();
} else {
  await restart(suitableNode());
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
    start: () => restart(process.execPath, { [KEPT]: '1' }),
  };
  await cli.main(async () => (await import(defaults)).default, kept);
}

/** Runs this file again: in our place where Node can do that, else as a child with our terminal and signals. */
async function restart(node, more = {}) {
  const flags = [...(isCheckout ? [CONDITION] : []), ...COLLECTOR];
  const args = [...flags, fileURLToPath(import.meta.url), ...process.argv.slice(2)];
  const env = { ...FRUGAL, ...HUGE_PAGES, ...process.env, ...more, [STARTED]: String(process.pid) };
  if (typeof process.execve === 'function') {
    process.removeAllListeners('warning');
    process.execve(node, [node, ...args], env);
  }
  const child = spawn(node, args, { stdio: 'inherit', env });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => {
      // A terminal's Ctrl-C reaches the whole process group by itself.
      if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal);
    });
  }
  child.on('error', (error) => fail(`${node} cannot be started: ${error.message}`));
  const [code, signal] = await once(child, 'exit');
  process.exitCode = signal === null ? (code ?? 1) : 1;
  return process.exitCode;
}

/** The pinned Node of this folder or of any above it (npm may hoist it), else the running one. */
function suitableNode() {
  const name = `node-linux-${process.arch === 'arm64' ? 'arm64' : 'x64'}`;
  for (let folder = root; ; folder = dirname(folder)) {
    const pinned = join(folder, 'node_modules', name, 'bin', 'node');
    if (existsSync(pinned)) return pinned;
    if (dirname(folder) === folder) break;
  }
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major > FLOOR[0] || (major === FLOOR[0] && minor >= FLOOR[1])) return process.execPath;
  return fail(
    `Overdub needs Node ${FLOOR.join('.')} or newer; this is ${process.versions.node}, and ${name} is not installed.\n` +
      `→ Run \`npm ci\` in ${root} (it brings the right Node along), or install Node 24.`,
  );
}

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}
