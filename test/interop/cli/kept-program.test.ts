/** The commands on directories run from the agent's bundle, kept in the user's cache: same work, a quarter of the CPU. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';

const bin = fileURLToPath(new URL('../../../bin/overdub.mjs', import.meta.url));
const CONFIG = `
import agent from '@overdub/agent';
import api from '@overdub/api-http';
import { defineConfig } from '@overdub/core';
import tree from '@overdub/imaging-tree';
import storage from '@overdub/storage-local';
export default defineConfig({ state: 'state', http: { port: 0 }, plugins: [storage(), tree(), agent(), api()] });
`;
const KEPT = /\/programs\/[0-9a-f-]{36}\/main\.mjs$/;
const SOURCE = /\/core\/cli\/main\.ts$/;

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
  /** Modules that ran. */
  readonly modules: readonly string[];
}

let folder: string;
let appliance: ChildProcess | undefined;
let access: { readonly OVERDUB_URL: string; readonly OVERDUB_TOKEN: string };

const programs = () => join(folder, 'cache', 'overdub', 'programs');
const indexes = async () => (await readdir(programs())).filter((name) => name.endsWith('.json'));

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'overdub-kept-'));
  await mkdir(join(folder, 'root'));
  await writeFile(join(folder, 'overdub.config.ts'), CONFIG);
  appliance = start(['up', '--json'], {});
  const [line] = (await once(appliance.stdout as NodeJS.ReadableStream, 'data')) as [Buffer];
  const { url, firstToken } = JSON.parse(line.toString().split('\n')[0] as string);
  access = { OVERDUB_URL: url, OVERDUB_TOKEN: firstToken };
  const created = await run(['server', 'create', 'web-1']);
  expect(created, created.err).toMatchObject({ code: 0 });
});
afterAll(async () => {
  if (appliance?.exitCode === null) {
    appliance.kill('SIGTERM');
    await once(appliance, 'close');
  }
  await rm(folder, { recursive: true, force: true });
});
beforeEach(() => writeFile(join(folder, 'root', 'file'), String(Math.random())));

function start(args: readonly string[], env: NodeJS.ProcessEnv): ChildProcess {
  const cache = { XDG_CACHE_HOME: join(folder, 'cache'), OVERDUB_STARTED_BY: '1' };
  return spawn(process.execPath, [bin, ...args], { cwd: folder, env: { ...process.env, ...cache, ...env } });
}

async function run(args: readonly string[]): Promise<Ended> {
  const coverage = await mkdtemp(join(folder, 'modules-'));
  const child = start(args, { ...access, NODE_V8_COVERAGE: coverage });
  const [out, err]: [Buffer[], Buffer[]] = [[], []];
  child.stdout?.on('data', (piece) => out.push(piece));
  child.stderr?.on('data', (piece) => err.push(piece));
  const [code] = (await once(child, 'close')) as [number | null];
  const modules = new Set<string>();
  for (const name of await readdir(coverage)) {
    const { result } = JSON.parse(await readFile(join(coverage, name), 'utf8'));
    for (const { url } of result as { url: string }[]) modules.add(url);
  }
  const text = (pieces: Buffer[]) => Buffer.concat(pieces).toString();
  return { code, out: text(out), err: text(err), modules: [...modules] };
}

function snapshot(...more: readonly string[]): Promise<Ended> {
  const where = ['--root', join(folder, 'root'), '--state', join(folder, 'agent')];
  return run(['agent', 'snapshot', ...where, '--server', 'web-1', '--json', ...more]);
}

/** It did its work; which modules that took. */
async function works(pattern: RegExp): Promise<Ended> {
  const ended = await snapshot();
  expect(ended, ended.err).toMatchObject({ code: 0 });
  expect(JSON.parse(ended.out)).toMatchObject({ server: 'web-1' });
  expect(ended.modules).toContainEqual(expect.stringMatching(pattern));
  return ended;
}

test('the first keeps the bundle, the next starts from it and loads nothing else', async () => {
  await works(SOURCE);
  expect(await indexes()).toHaveLength(1);
  const { modules } = await works(KEPT);
  expect(modules.filter((url) => /\/(core|plugins)\/.*\.ts$/.test(url))).toEqual([]);
});

test('mistakes are told in the same words and with the same exit codes', async () => {
  await works(KEPT);
  const kept = await snapshot('--nonsense');
  expect(kept).toMatchObject({
    code: expect.any(Number),
    modules: expect.arrayContaining([expect.stringMatching(KEPT)]),
  });
  await rm(programs(), { recursive: true });
  await writeFile(programs(), '');
  const { code, out, err } = await snapshot('--nonsense');
  await rm(programs());
  expect(kept).toMatchObject({ code, out, err });
  expect(code).not.toBe(0);
});

test('a changed configuration counts at once', async () => {
  await works(SOURCE);
  await works(KEPT);
  await writeFile(join(folder, 'overdub.config.ts'), `${CONFIG}// changed\n`);
  await works(SOURCE);
  await works(KEPT);
  expect(await indexes()).toHaveLength(1);
});

test('a program that was altered is not run, but made anew', async () => {
  await works(/main/);
  const [index = ''] = await indexes();
  const { entry: altered } = JSON.parse(await readFile(join(programs(), index), 'utf8')) as { entry: string };
  await writeFile(altered, `${await readFile(altered, 'utf8')}\nprocess.exit(42);\n`);
  await works(SOURCE);
  await works(KEPT);
});

test('where others can write, or nobody can, the command runs from the sources', async () => {
  await works(/main/);
  await chmod(programs(), 0o777);
  const { modules } = await works(SOURCE);
  expect(modules.filter((url) => KEPT.test(url))).toEqual([]);
  await rm(programs(), { recursive: true });
  await writeFile(programs(), 'no directory');
  await works(SOURCE);
  await rm(programs());
});
