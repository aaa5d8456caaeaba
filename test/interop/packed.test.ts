/** Overdub as others get it: packed, unpacked into a folder of theirs, run without the checkout's sources. */

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type PackedSite, packedSite } from './packed-site.ts';

const run = promisify(execFile);
const checkout = fileURLToPath(new URL('../..', import.meta.url));
/** All that `overdub agent …` needs, and the site’s own plugin. */
const CONFIG = `
import agent from '@overdub/agent';
import api from '@overdub/api-http';
import { defineConfig } from '@overdub/core';
import tree from '@overdub/imaging-tree';
import storage from '@overdub/storage-local';
import site from './own-plugin/plugin.ts';
export default defineConfig({
  state: 'state', http: { port: 0 }, plugins: [storage(), tree(), site(), agent(), api()],
});
`;

/** More than a snapshot that holds a delta stores, far less than the file. */
const SMALL = 50_000;

/** The compiler: seconds of processor time, which on a shared host are minutes. */
const SLOW = { timeout: 900_000 };

let site: PackedSite;
beforeAll(async () => {
  site = await packedSite(['typebox', '@types/node']);
}, SLOW.timeout);
afterAll(() => rm(site.folder, { recursive: true, force: true }));

/** As a shell of the site has it: no conditions, a cache of its own. */
function environment(more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const { NODE_OPTIONS: _none, ...env } = process.env;
  return { ...env, XDG_CACHE_HOME: join(site.folder, 'cache'), ...more };
}

function node(args: readonly string[]) {
  return run(process.execPath, args, { cwd: site.folder, env: environment() });
}

describe('the tarballs', () => {
  test('hold every file that `exports` names', () => {
    for (const { name, exports = {} } of site.packages) {
      const named = Object.values(exports).flatMap(({ types, default: code }) => [types, code]);
      const paths = named.map((path) => path?.replace('./', ''));
      expect(site.files(name), name).toEqual(expect.arrayContaining(paths));
    }
    expect(site.packages.length).toBeGreaterThan(20);
  });

  test('hold no tests and no sources', () => {
    const paths = site.packages.flatMap(({ name }) => site.files(name).map((path) => `${name}/${path}`));
    expect(paths.filter((path) => /(test|fixture|test-kit|test-client)\.|(?<!\.d)\.ts$/.test(path))).toEqual(
      [],
    );
    expect(paths.filter((path) => /\/testing\//.test(path) && !path.startsWith('@overdub/core/'))).toEqual(
      [],
    );
  });

  test('name each other in the versions that they are', () => {
    const versions = new Map(site.packages.map(({ name, version }) => [name, version]));
    for (const { name, dependencies = {} } of site.packages) {
      const ours = Object.entries(dependencies).filter(([other]) => other.startsWith('@overdub/'));
      expect(ours, name).toEqual(ours.map(([other]) => [other, versions.get(other)]));
    }
  });

  test('hold what modules read beside themselves, and the licence', () => {
    const files = ['dhcp6.mjs', 'init.sh', 'udhcpc.sh'].map((name) => `dist/ramdisk/files/${name}`);
    const assets = ['dist/loader/loader.mjs', ...files];
    expect(site.files('@overdub/agent')).toEqual(expect.arrayContaining([...assets, 'dist/LICENSE']));
  });

  test('every one loads, with nothing but the packages that it names', async () => {
    const doors = site.packages.flatMap(({ name, exports = {} }) =>
      Object.keys(exports).map((door) => join(name, door)),
    );
    // Suites want vitest, which is the site's to install.
    const alone = doors.filter((door) => door !== '@overdub/core/testing');
    const script = alone.map((door) => `await import(${JSON.stringify(door)});`).join('\n');
    await writeFile(join(site.folder, 'load.mjs'), `${script}\nconsole.log('loaded');`);
    expect(await node(['load.mjs'])).toEqual({ stdout: 'loaded\n', stderr: '' });
  });
});

describe('embedded', () => {
  test('in plain JavaScript: an appliance starts, makes a server and stops', async () => {
    const program = `
      import { createAppliance } from '@overdub/core';
      import storage from '@overdub/storage-local';
      const config = { plugins: [storage()], http: { host: '127.0.0.1', port: 0 } };
      const appliance = await createAppliance(config, { stateDir: './embedded' });
      await appliance.start();
      const { name } = await appliance.control.createServer({ name: 'customer-1' }, 'our product');
      await appliance.stop();
      console.log(name, import.meta.resolve('@overdub/core'));`;
    await writeFile(join(site.folder, 'embed.mjs'), program);
    const { stdout, stderr } = await node(['embed.mjs']);
    expect(stderr).toBe('');
    const core = join(site.folder, 'node_modules', '@overdub', 'core', 'dist', 'index.js');
    expect(stdout).toBe(`customer-1 file://${core}\n`);
  });

  test(
    'in TypeScript: the example passes the compiler against the shipped declarations, and runs',
    SLOW,
    async () => {
      await cp(join(checkout, 'examples', 'embedded', 'main.ts'), join(site.folder, 'main.ts'));
      const flags = ['--strict', '--module', 'nodenext', '--target', 'es2024', '--types', 'node', '--noEmit'];
      const tsc = join(checkout, 'node_modules', 'typescript', 'bin', 'tsc');
      const checked = await node([tsc, ...flags, 'main.ts']).catch((error) => error);
      expect(checked).toMatchObject({ stdout: '', stderr: '' });
      const { stdout } = await node(['main.ts', './typed']);
      expect(stdout).toMatch(/^customer-1 is \w+, machine-id [0-9a-f]{32}\n$/);
    },
  );
});

describe('installed, with a plugin of the site’s own', () => {
  let appliance: ChildProcess;
  let access: NodeJS.ProcessEnv;

  const overdub = async (...args: readonly string[]) => {
    const bin = join(site.folder, 'node_modules', '.bin', 'overdub');
    const { stdout } = await run(bin, [...args, '--json'], { cwd: site.folder, env: environment(access) });
    return JSON.parse(stdout);
  };
  const directory = () => ['--root', join(site.folder, 'root'), '--state', join(site.folder, 'agent-state')];
  const onServer = () => [...directory(), '--server', 'web-1'];

  beforeAll(async () => {
    await cp(join(checkout, 'examples', 'own-plugin'), join(site.folder, 'own-plugin'), { recursive: true });
    await writeFile(join(site.folder, 'overdub.config.ts'), CONFIG);
    await mkdir(join(site.folder, 'root'));
    const bin = join(site.folder, 'node_modules', '.bin', 'overdub');
    const options = { cwd: site.folder, env: environment() };
    appliance = spawn(bin, ['up', '--json'], { ...options, stdio: ['ignore', 'pipe', 'inherit'] });
    const [line] = (await once(appliance.stdout as NodeJS.ReadableStream, 'data')) as [Buffer];
    const { url, firstToken } = JSON.parse(line.toString().split('\n')[0] as string);
    access = { OVERDUB_URL: url, OVERDUB_TOKEN: firstToken };
    await overdub('server', 'create', 'web-1');
  });
  afterAll(async () => {
    if (appliance.exitCode !== null) return;
    appliance.kill('SIGTERM');
    await once(appliance, 'close');
  });

  test(
    'a directory goes back to an earlier snapshot; the site’s codec works on both sides',
    SLOW,
    async () => {
      const file = join(site.folder, 'root', 'data');
      const before = noise(512 << 10);
      await writeFile(file, before);
      const first = await overdub('agent', 'snapshot', ...onServer());
      expect(first.stats.bytesStored).toBeGreaterThan(before.length * 0.9);

      // Whether a delta is found depends on the time that the search for one gets: on a busy host a few goes.
      const after = Buffer.from(before);
      let second = first;
      for (let go = 1; go <= 10 && second.stats.bytesStored > SMALL; go++) {
        for (let at = go; at < after.length; at += 100_000) after[at] = (after[at] as number) ^ 1;
        await writeFile(file, after);
        second = await overdub('agent', 'snapshot', ...onServer());
      }
      expect(second.stats).toMatchObject({ filesChanged: 1 });
      expect(second.stats.bytesStored).toBeLessThan(SMALL);

      const { safetySnapshot } = await overdub('agent', 'rollback', ...onServer(), '--snapshot', first.id);
      expect(safetySnapshot).toMatchObject({ server: 'web-1', reason: 'safety' });
      expect((await readFile(file)).equals(before)).toBe(true);
      await overdub('agent', 'restore', ...onServer(), '--snapshot', second.id);
      expect((await readFile(file)).equals(after)).toBe(true);
    },
  );

  test('the kept program is made from built files and holds the site’s half', async () => {
    const programs = join(site.folder, 'cache', 'overdub', 'programs');
    const index = (await readdir(programs)).find((name) => name.endsWith('.json')) as string;
    const { entry, files } = JSON.parse(await readFile(join(programs, index), 'utf8'));
    expect(await readFile(entry, 'utf8')).toContain('CPY1');
    expect(files.filter((path: string) => /^(?!.*node_modules).*\/(core|plugins)\//.test(path))).toEqual([]);
  });

  test('a configuration with a plugin of its own need not lie near the installation', async () => {
    const away = await mkdtemp(join(tmpdir(), 'overdub-away-'));
    try {
      for (const name of ['own-plugin', 'overdub.config.ts'])
        await cp(join(site.folder, name), join(away, name), { recursive: true });
      const config = ['--config', join(away, 'overdub.config.ts')];
      const taken = await overdub('agent', 'snapshot', ...onServer(), ...config);
      expect(taken.server).toBe('web-1');
    } finally {
      await rm(away, { recursive: true });
    }
  });

  test('without a configuration the defaults of the package are right', async () => {
    const empty = join(site.folder, 'empty');
    await mkdir(empty);
    const bin = join(site.folder, 'node_modules', '.bin', 'overdub');
    const { stdout } = await run(bin, ['config', 'check', '--json'], { cwd: empty, env: environment() });
    expect(JSON.parse(stdout)).toMatchObject({ ok: true, file: 'the defaults' });
  });
});

/** Bytes that no compressor shortens, the same each time. */
function noise(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let at = 0, state = 1; at < length; at++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[at] = state >>> 24;
  }
  return bytes;
}
