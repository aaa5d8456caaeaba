/** `overdub delta`, `patch` and `signature`, with the field's own tools on the other side. */

import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { databasePages, editPages, noise } from '@overdub/core/testing';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { runCli } from '../../../core/cli/dispatch.ts';
import type { Environment } from '../../../core/cli/environment.ts';
import defaults from '../../../defaults.ts';

const run = promisify(execFile);
const base = databasePages(300_000, 1);
const target = Buffer.concat([noise(500, 2), editPages(base, 30, 3)]);
const sha256 = createHash('sha256').update(target).digest('hex');

let folder: string;
const at = (name: string): string => join(folder, name);
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'overdub-deltas-'));
  await writeFile(at('base'), base);
  await writeFile(at('target'), target);
});
afterEach(() => rm(folder, { recursive: true }));

async function overdub(...args: readonly string[]) {
  const printed = { out: '', err: '' };
  const environment: Environment = {
    cwd: folder,
    variables: { XDG_STATE_HOME: folder },
    out: (text) => {
      printed.out += text;
    },
    outBytes: async () => {},
    err: (text) => {
      printed.err += text;
    },
    interactive: true,
    signal: new AbortController().signal,
    now: () => performance.now(),
    defaults: async () => defaults,
  };
  return { code: await runCli(args, environment), ...printed };
}

async function expectMade(name: string): Promise<void> {
  expect(Buffer.compare(await readFile(at(name)), target)).toBe(0);
}

const TOOLS: readonly (readonly [codec: string, patch: readonly string[], delta: readonly string[]])[] = [
  [
    'rsync',
    ['rdiff', 'patch', 'base', 'delta', 'made'],
    ['sh', '-c', 'rdiff signature base s && rdiff delta s target theirs'],
  ],
  [
    'xdelta',
    ['xdelta3', '-d', '-s', 'base', 'delta', 'made'],
    ['xdelta3', '-e', '-S', 'none', '-s', 'base', 'target', 'theirs'],
  ],
  [
    'zstd',
    ['zstd', '-q', '-d', '--patch-from=base', 'delta', '-o', 'made'],
    ['zstd', '-q', '--patch-from=base', 'target', '-o', 'theirs'],
  ],
  ['bsdiff', ['bspatch', 'base', 'made', 'delta'], ['bsdiff', 'base', 'target', 'theirs']],
];

describe.each(TOOLS)('with the codec %s', (codec, patch, delta) => {
  const loaded = codec === 'bsdiff' ? ['--with', 'diff-bsdiff'] : [];

  test('what is written is read by the field’s tool, and the reverse', async () => {
    const made = await overdub(
      'delta',
      ...loaded,
      '--codec',
      codec,
      '--base',
      'base',
      'target',
      '-o',
      'delta',
      '--json',
    );
    expect(JSON.parse(made.out)).toMatchObject({ codec, targetBytes: target.length, sha256 });
    await run(patch[0] as string, patch.slice(1), { cwd: folder });
    await expectMade('made');
    await run(delta[0] as string, delta.slice(1), { cwd: folder });
    const patched = await overdub('patch', ...loaded, 'base', 'theirs', '-o', 'ours', '--sha256', sha256);
    expect(patched.code, patched.err).toBe(0);
    await expectMade('ours');
  });
});

test('without --codec the smallest delta is taken, and the trials are shown', async () => {
  const { out } = await overdub('delta', '--base', 'base', 'target', '-o', 'delta', '--json');
  const facts = JSON.parse(out) as {
    codec: string;
    deltaBytes: number;
    ratio: number;
    trials: { codec: string; bytes: number }[];
  };
  expect(facts.trials.map(({ codec }) => codec).sort()).toEqual(['rsync', 'xdelta', 'zstd']);
  const least = Math.min(...facts.trials.map(({ bytes }) => bytes));
  expect(facts.deltaBytes).toBeLessThanOrEqual(least * 1.03 + 64);
  expect(facts.ratio).toBe(facts.deltaBytes / target.length);
  expect((await overdub('patch', 'base', 'delta', '-o', 'made')).code).toBe(0);
  await expectMade('made');
});

test('new content that the base does not have goes to a codec that compresses', async () => {
  await writeFile(at('target'), databasePages(9_000_000, 77));
  const { out } = await overdub('delta', '--base', 'base', 'target', '-o', 'delta', '--json');
  expect(JSON.parse(out)).toMatchObject({ codec: 'zstd' });
});

describe('signatures', () => {
  test('are rdiff’s own, and deltas come of them without the base', async () => {
    expect((await overdub('signature', 'base', '-o', 'signature')).code).toBe(0);
    await run('rdiff', ['signature', 'base', 'theirs'], { cwd: folder });
    expect(await readFile(at('signature'))).toEqual(await readFile(at('theirs')));
    await rm(at('base'));
    const { code, out } = await overdub('delta', '--signature', 'signature', 'target', '-o', 'delta');
    expect({ code, out }).toMatchObject({ code: 0, out: expect.stringContaining('rdiff delta') });
    await writeFile(at('base'), base);
    await run('rdiff', ['patch', 'base', 'delta', 'made'], { cwd: folder });
    await expectMade('made');
  });

  test('with MD4 say what is wrong with them', async () => {
    const { code, err } = await overdub(
      'signature',
      'base',
      '-o',
      's',
      '--sums',
      'rollsum-md4',
      '--block-bytes',
      '1024',
    );
    expect({ code, err }).toMatchObject({ code: 0, err: expect.stringContaining('CVE-2014-8242') });
    await run('rdiff', ['-H', 'md4', '-R', 'rollsum', '-b', '1024', 'signature', 'base', 'theirs'], {
      cwd: folder,
    });
    expect(await readFile(at('s'))).toEqual(await readFile(at('theirs')));
  });
});

describe('refused, with nothing written', () => {
  beforeEach(async () => {
    await overdub('delta', '--codec', 'rsync', '--base', 'base', 'target', '-o', 'rdiff.delta');
    await overdub('delta', '--codec', 'zstd', '--base', 'base', 'target', '-o', 'zstd.delta');
    const whole = await readFile(at('zstd.delta'));
    await writeFile(at('cut'), whole.subarray(0, whole.length - 9));
    await writeFile(at('other'), noise(base.length, 9));
    await writeFile(at('bsdiff40'), 'BSDIFF40 and so on');
    await overdub('signature', 'base', '-o', 'signature');
  });

  test.each<[string, string[], number, RegExp]>([
    [
      'an output that exists',
      ['patch', 'base', 'rdiff.delta', '-o', 'target'],
      1,
      /CONFLICT.*target exists[\s\S]*--force/,
    ],
    ['no output', ['patch', 'base', 'rdiff.delta'], 2, /--output \(-o\) FILE is missing/],
    ['a cut delta', ['patch', 'base', 'cut', '-o', 'new'], 1, /DELTA_INVALID.*truncated/],
    ['a wrong base', ['patch', 'other', 'zstd.delta', '-o', 'new'], 1, /DELTA_INVALID.*against this base/],
    [
      'a wrong base of a format without checksums',
      ['patch', 'other', 'rdiff.delta', '-o', 'new', '--sha256', sha256],
      1,
      /DELTA_INVALID.*instead of[\s\S]*nothing was written/,
    ],
    [
      'a format whose codec is not loaded',
      ['patch', 'base', 'bsdiff40', '-o', 'new'],
      1,
      /it is a BSDIFF40 delta[\s\S]*--with diff-bsdiff/,
    ],
    ['no delta', ['patch', 'base', 'target', '-o', 'new'], 1, /something that begins with [0-9a-f]{16}/],
    ['a signature', ['patch', 'base', 'signature', '-o', 'new'], 1, /no delta but a signature: rdiff/],
    [
      'a signature that is none',
      ['delta', '--signature', 'base', 'target', '-o', 'new'],
      1,
      /is no signature/,
    ],
    [
      'a missing file',
      ['patch', 'nowhere', 'rdiff.delta', '-o', 'new'],
      1,
      /INPUT_INVALID.*nowhere does not exist/,
    ],
    ['a folder', ['patch', '.', 'rdiff.delta', '-o', 'new'], 1, /no regular file/],
    ['neither base nor signature', ['delta', 'target', '-o', 'new'], 2, /--base FILE, or its signature/],
    [
      'an unknown codec',
      ['delta', '--codec', 'lzma', '--base', 'base', 'target', '-o', 'new'],
      1,
      /no codec lzma; there are rsync, xdelta, zstd/,
    ],
    [
      'a codec without signatures',
      ['signature', 'base', '--codec', 'zstd', '-o', 'new'],
      1,
      /zstd makes no signatures/,
    ],
    ['half a digest', ['patch', 'base', 'rdiff.delta', '-o', 'new', '--sha256', 'abc'], 2, /64 hexadecimal/],
    [
      'sums that do not exist',
      ['signature', 'base', '-o', 'new', '--sums', 'crc'],
      1,
      /no checksums named crc/,
    ],
  ])('%s', async (_title, args, code, message) => {
    const before = await readdir(folder);
    const ran = await overdub(...args);
    expect(ran.err).toMatch(message);
    expect(ran.code).toBe(code);
    expect(await readdir(folder)).toEqual(before);
  });

  test('--force overwrites', async () => {
    expect((await overdub('patch', 'base', 'rdiff.delta', '-o', 'other', '--force')).code).toBe(0);
    await expectMade('other');
  });
});
