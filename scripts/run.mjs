/**
 * `npm run demo` and `npm test` begin here, under whatever Node the system has (18 or newer), on a clone without
 * node_modules. It installs what is missing and goes on under the pinned Node. No dependencies, no modern syntax.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { PACKAGES } from './packages.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const CONDITION = '--conditions=overdub-source';

function main([command, ...args]) {
  if (!(command in COMMANDS)) {
    console.error(`usage: npm run demo | npm test   (unknown: ${command})`);
    return 2;
  }
  installModules();
  installPackages(command);
  return COMMANDS[command](args);
}

const COMMANDS = {
  demo: (args) => node([CONDITION, 'examples/demo/main.ts', ...args]),
  bench: ([name, ...args]) => {
    const file = join(root, 'test', 'bench', `${name}.ts`);
    if (!existsSync(file))
      fail(
        `There is no benchmark called ${name}.`,
        'Run: npm run bench -- boot, drift --data DIR, overlay --data DIR, or collection.',
      );
    return node([CONDITION, file, ...args]);
  },
  /** Every firmware on every network: half an hour. */
  boot: (args) => bin('vitest', 'vitest.mjs', ['run', '--project', 'boot', ...args]),
  test: (args) => {
    const only = (flag) => args.length === 0 || args.includes(flag);
    const stages = [
      ...(only('--lint') ? [() => bin('@biomejs/biome', 'bin/biome', ['check', '.'])] : []),
      ...(only('--types') ? [() => bin('typescript', 'bin/tsc', ['--noEmit'])] : []),
      ...(only('--unit') ? [() => bin('vitest', 'vitest.mjs', ['run', '--project', 'unit'])] : []),
      ...(only('--e2e') ? [() => bin('vitest', 'vitest.mjs', ['run', '--project', 'e2e'])] : []),
      // The demo itself as a test, under UEFI: as long as all the rest together.
      ...(args.includes('--story') ? [() => bin('vitest', 'vitest.mjs', ['run', '--project', 'story'])] : []),
      // A thousand machines at once: a figure rather than a regression test, and it wants the host for itself.
      ...(args.includes('--fleet') ? [() => bin('vitest', 'vitest.mjs', ['run', '--project', 'fleet'])] : []),
    ];
    return stages.reduce((code, stage) => (code === 0 ? stage() : code), 0);
  },
};

function bin(name, file, args) {
  return node([join(root, 'node_modules', name, file), ...args]);
}

function node(args) {
  const pinned = join(
    root,
    'node_modules',
    `node-linux-${process.arch === 'arm64' ? 'arm64' : 'x64'}`,
    'bin',
    'node',
  );
  if (!existsSync(pinned))
    fail(`The pinned Node is missing (${pinned}).`, 'Remove node_modules and run this again.');
  const path = `${dirname(pinned)}:${process.env.PATH ?? ''}`;
  const result = spawnSync(pinned, args, {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, PATH: path },
  });
  if (result.error) throw result.error;
  return result.status ?? 1;
}

/** `npm ci` unless node_modules was made from this very lockfile. That the system's Node is old is no news: we bring our own. */
function installModules() {
  const stamp = join(root, 'node_modules', '.overdub-lock');
  const digest = createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .digest('hex');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === digest) return;
  console.log('Installing npm packages (npm ci) …');
  const result = spawnSync('npm', ['ci', '--no-progress', '--loglevel=error'], {
    cwd: root,
    stdio: 'inherit',
  });
  if (result.status !== 0)
    fail('npm ci failed.', 'See its message above; the npm registry must be reachable once.');
  writeFileSync(stamp, digest);
}

/** As root installs missing Debian packages; otherwise prints the one command that does. */
function installPackages(command) {
  const missing = PACKAGES[command].filter(([, ...proofs]) => !proofs.some(existsSync)).map(([name]) => name);
  if (missing.length === 0) return;
  const install = ['install', '-y', '-q', '--no-install-recommends', ...missing];
  if (process.getuid?.() !== 0) {
    fail(
      `Debian packages are missing: ${missing.join(' ')}.`,
      `Run: sudo apt-get update && sudo apt-get ${install.join(' ')}`,
    );
  }
  console.log(`Installing Debian packages: ${missing.join(' ')} …`);
  const options = {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  };
  spawnSync('apt-get', ['update', '-q'], options);
  if (spawnSync('apt-get', install, options).status !== 0) {
    fail('apt-get could not install them.', `Run: apt-get ${install.join(' ')}   and look at its message.`);
  }
}

function fail(what, remedy) {
  console.error(`${what}\n${remedy}`);
  process.exit(1);
}

process.exitCode = main(process.argv.slice(2));
