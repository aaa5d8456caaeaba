import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { buildRamdisk, readRamdiskInfo } from './build.ts';
import { run } from './command.ts';
import { defaultRamdiskDir, ramdiskCommands } from './commands.ts';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'overdub-build-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const signal = new AbortController().signal;
const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const request = () => ({
  outDir: join(dir, 'out'),
  cacheDir: join(dir, 'cache'),
  arch: 'x86_64' as const,
  log,
  signal,
});

describe('buildRamdisk', () => {
  test('a directory that cannot be made is named', async () => {
    await writeFile(join(dir, 'out'), 'a file');
    await expect(buildRamdisk(request())).rejects.toMatchObject({
      code: 'STATE_UNWRITABLE',
      message: expect.stringContaining(join(dir, 'out')),
    });
  });

  test('a missing loader or Node is named, before anything is downloaded', async () => {
    await expect(buildRamdisk({ ...request(), loader: join(dir, 'no.mjs') })).rejects.toMatchObject({
      code: 'PREREQUISITE_MISSING',
      message: expect.stringContaining('no.mjs'),
    });
    await expect(buildRamdisk({ ...request(), node: join(dir, 'no-node') })).rejects.toMatchObject({
      code: 'PREREQUISITE_MISSING',
      message: expect.stringContaining('no-node'),
    });
  });

  test('a missing host program names its Debian package', async () => {
    const missing = run({ program: 'no-such-program', package: 'some-package' }, [], { signal });
    await expect(missing).rejects.toMatchObject({
      code: 'PREREQUISITE_MISSING',
      remedy: 'Install it: apt-get install some-package',
    });
  });

  test('a failing host program’s last words are in the error', async () => {
    const failing = run({ program: 'sh', package: 'dash' }, ['-c', 'echo no space left >&2; exit 2'], {
      signal,
    });
    await expect(failing).rejects.toThrow(/ended with 2: no space left/);
  });

  test('half of a ramdisk.json is no ramdisk', async () => {
    await mkdir(join(dir, 'out'));
    await writeFile(join(dir, 'out', 'ramdisk.json'), '{"digest": "x", "fi');
    expect(await readRamdiskInfo(join(dir, 'out'))).toBeUndefined();
  });
});

describe('overdub ramdisk', () => {
  const show = ramdiskCommands.find(({ path }) => path.join(' ') === 'ramdisk show');
  const io = { json: false, print: () => {}, error: () => {}, signal };

  test('show says what to do when there is none', async () => {
    await expect(show?.run(['--out', dir], io)).rejects.toMatchObject({
      code: 'NOT_FOUND',
      remedy: 'Run `overdub ramdisk build`.',
    });
  });

  test('show shows each architecture’s, or the one that is named', async () => {
    const info = (arch: string) =>
      JSON.stringify({
        digest: 'd',
        arch,
        kernel: '6',
        files: { vmlinuz: { bytes: 1 }, initrd: { bytes: 2 } },
        packages: [],
      });
    await mkdir(join(dir, 'arm64'));
    await writeFile(join(dir, 'ramdisk.json'), info('x86_64'));
    await writeFile(join(dir, 'arm64', 'ramdisk.json'), info('arm64'));
    const shown = async (...args: string[]) => {
      const lines: string[] = [];
      await show?.run(['--out', dir, ...args], { ...io, json: true, print: (line) => lines.push(line) });
      return lines.map((line) => (JSON.parse(line) as { arch: string }).arch);
    };
    expect(await shown()).toEqual(['x86_64', 'arm64']);
    expect(await shown('--arch', 'arm64')).toEqual(['arm64']);
    await rm(join(dir, 'arm64'), { recursive: true });
    await expect(shown('--arch', 'arm64')).rejects.toMatchObject({
      code: 'NOT_FOUND',
      remedy: 'Run `overdub ramdisk build --arch arm64`.',
    });
  });

  test('an architecture without a ramdisk is refused', async () => {
    await expect(show?.run(['--arch', 'riscv64'], io)).rejects.toMatchObject({ code: 'ARCH_UNKNOWN' });
  });

  test('an unknown option is refused', async () => {
    await expect(show?.run(['--colour', 'blue'], io)).rejects.toMatchObject({ code: 'INPUT_INVALID' });
  });

  test('the default place follows XDG, else the user', () => {
    expect(defaultRamdiskDir({ XDG_CACHE_HOME: '/x' }, 0)).toBe('/x/overdub/ramdisk');
    expect(defaultRamdiskDir({}, 0)).toBe('/var/cache/overdub/ramdisk');
    expect(defaultRamdiskDir({ HOME: '/home/u' }, 1000)).toBe('/home/u/.cache/overdub/ramdisk');
  });
});
