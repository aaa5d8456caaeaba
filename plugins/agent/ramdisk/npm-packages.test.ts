import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ARCHITECTURES } from './architectures.ts';
import { isPinned, npmPackageFiles, pinOf } from './npm-packages.ts';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'overdub-npm-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

test('every package that a ramdisk takes files from is pinned, in one version for both processors', async () => {
  const { x86_64, arm64 } = ARCHITECTURES;
  const [x86, arm] = await Promise.all(
    [x86_64, arm64].map(({ nodePackage }) => pinOf(nodePackage, import.meta.dirname)),
  );
  expect(arm?.version).toBe(x86?.version);
  expect(arm?.integrity).not.toBe(x86?.integrity);
  const koffi = await pinOf('koffi', import.meta.dirname);
  for (const { name } of arm64.native) {
    expect((await pinOf(name, import.meta.dirname)).version).toBe(koffi.version);
  }
});

test('a package that nothing pins is never fetched', async () => {
  await mkdir(join(dir, 'below'));
  await writeFile(
    join(dir, 'package-lock.json'),
    JSON.stringify({ packages: { 'node_modules/weak': { version: '1.0.0', integrity: 'sha1-abc' } } }),
  );
  for (const name of ['weak', 'unknown'])
    await expect(pinOf(name, join(dir, 'below'))).rejects.toMatchObject({
      code: 'PREREQUISITE_MISSING',
      message: expect.stringContaining(name),
    });
});

test('only the very archive that was pinned is used', async () => {
  const archive = join(dir, 'a.tgz');
  await writeFile(archive, 'content');
  const integrity = `sha512-${createHash('sha512').update('content').digest('base64')}`;
  expect(await isPinned(archive, { version: '1', integrity })).toBe(true);
  await writeFile(archive, 'Content');
  expect(await isPinned(archive, { version: '1', integrity })).toBe(false);
  expect(await isPinned(join(dir, 'none.tgz'), { version: '1', integrity })).toBe(false);
});

test('what is installed is taken from there', async () => {
  const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
  const request = { cacheDir: dir, log, signal: new AbortController().signal };
  const [file] = await npmPackageFiles('koffi', ['package.json'], request);
  expect(file).toEqual(await readFile('node_modules/koffi/package.json'));
  await expect(npmPackageFiles('koffi', ['no-such-file'], request)).rejects.toMatchObject({
    code: 'PREREQUISITE_MISSING',
    message: expect.stringContaining('koffi'),
  });
});
