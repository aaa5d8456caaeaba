/** Debian's rdiff, xdelta3, bspatch and zstd read what our codecs write, and the reverse. */

import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { DeltaCodec } from '@overdub/core';
import { databasePages, editPages, noise } from '@overdub/core/testing';
import { bsdiffCodec } from '@overdub/diff-bsdiff';
import { deltaFromSignature, rsyncCodec, signFile } from '@overdub/diff-rsync';
import { xdeltaCodec } from '@overdub/diff-xdelta';
import { zstdCodec } from '@overdub/diff-zstd';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';

const run = promisify(execFile);
const MiB = 1024 * 1024;

const pages = databasePages(3 * MiB + 777, 1);
const edited = editPages(pages, 30, 2);
/** Pairs that reach each tool's corners: nothing, less than a block, edits, insertions, several windows. */
const PAIRS: readonly { title: string; base: Uint8Array; target: Uint8Array }[] = [
  { title: 'an empty base', base: new Uint8Array(0), target: noise(5000, 1) },
  { title: 'a tiny pair', base: Buffer.from('hello, world\n'), target: Buffer.from('hello, moon\n') },
  { title: 'equal files', base: pages, target: pages },
  { title: 'edited pages', base: pages, target: edited },
  { title: 'an insertion', base: pages, target: Buffer.concat([noise(3333, 2), edited]) },
  { title: 'nothing in common', base: noise(100_000, 3), target: noise(120_000, 4) },
  {
    title: 'holes and pages that repeat',
    base: Buffer.concat([
      Buffer.alloc(300_000),
      pages.subarray(0, 70_001),
      Buffer.alloc(200_000, 'same '),
      edited,
    ]),
    target: Buffer.concat([pages.subarray(0, 70_001), Buffer.alloc(400_000), edited]),
  },
  {
    title: 'several windows',
    base: databasePages(20 * MiB, 5),
    target: editPages(databasePages(20 * MiB, 5), 30, 6),
  },
];

let folder: string;
const at = (name: string): string => join(folder, name);
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'overdub-interop-'));
});
afterEach(() => rm(folder, { recursive: true }));

describe('rdiff', () => {
  const codec = rsyncCodec();
  beforeAll(() => needs('rdiff', 'rdiff'));

  const SIGNATURES = [
    { title: 'by default', args: [], options: {} },
    { title: 'with rollsum', args: ['-R', 'rollsum'], options: { weak: 'rollsum' as const } },
    { title: 'with MD4', args: ['-H', 'md4'], options: { strong: 'md4' as const } },
    {
      title: 'with MD4 and rollsum, of 12 bytes',
      args: ['-H', 'md4', '-R', 'rollsum', '-S', '12'],
      options: { strong: 'md4' as const, weak: 'rollsum' as const, strongBytes: 12 },
    },
    {
      title: 'with small blocks and sums',
      args: ['-b', '512', '-S', '12'],
      options: { blockBytes: 512, strongBytes: 12 },
    },
  ];

  describe.each(SIGNATURES)('signatures $title', ({ args, options }) => {
    it.each(PAIRS)('are the same bytes for $title', async ({ base, target }) => {
      await place(base, target);
      await signFile(at('base'), at('ours'), options);
      await run('rdiff', [...args, 'signature', at('base'), at('theirs')]);
      await expectSame('ours', await readFile(at('theirs')));
    });

    it.each(PAIRS)('serve both ways for $title', async ({ base, target }) => {
      await place(base, target);
      await run('rdiff', [...args, 'signature', at('base'), at('signature')]);
      await deltaFromSignature(at('signature'), at('target'), at('delta'));
      await run('rdiff', ['patch', at('base'), at('delta'), at('made')]);
      await expectSame('made', target);
      await signFile(at('base'), at('signature'), options);
      await run('rdiff', ['-f', 'delta', at('signature'), at('target'), at('delta')]);
      await codec.files?.patch(at('base'), at('delta'), at('made-here'));
      await expectSame('made-here', target);
    });
  });

  it('has MD4 signatures of 8 bytes refused, with the reason', async () => {
    await place(pages, edited);
    await run('rdiff', ['-H', 'md4', '-S', '8', 'signature', at('base'), at('signature')]);
    const refused = deltaFromSignature(at('signature'), at('target'), at('delta'));
    await expect(refused).rejects.toThrow(/strong sum of 8 bytes.*mistake/);
  });

  it.each(['rabinkarp', 'rollsum'])('finds a last short block without the base, by %s', async (weak) => {
    const base = noise(100_000, 8);
    const target = Buffer.concat([noise(700, 9), base]);
    await place(base, target);
    await run('rdiff', ['-R', weak, '-b', '1024', 'signature', at('base'), at('signature')]);
    await deltaFromSignature(at('signature'), at('target'), at('delta'));
    expect((await readFile(at('delta'))).length).toBeLessThan(800);
    await run('rdiff', ['patch', at('base'), at('delta'), at('made')]);
    await expectSame('made', target);
  });

  readsOurs(codec, () => run('rdiff', ['patch', at('base'), at('delta'), at('made')]));
});

describe('xdelta3', () => {
  const codec = xdeltaCodec();
  beforeAll(() => needs('xdelta3', 'xdelta3'));
  const plain = ['-e', '-f', '-S', 'none', '-s'];

  readsOurs(codec, () => run('xdelta3', ['-d', '-f', '-s', at('base'), at('delta'), at('made')]));
  isReadByUs(codec, () => run('xdelta3', [...plain, at('base'), at('target'), at('delta')]));

  it('is read with small windows and without file names', async () => {
    await place(pages, edited);
    const options = ['-e', '-f', '-A=', '-S', 'none', '-W', '65536', '-s'];
    await run('xdelta3', [...options, at('base'), at('target'), at('delta')]);
    await codec.files?.patch(at('base'), at('delta'), at('made'));
    await expectSame('made', edited);
    const made = await codec.decode(pages, await readFile(at('delta')), { targetBytes: edited.length });
    expect(Buffer.compare(made, edited)).toBe(0);
  });

  it.each(['djw', 'fgk', 'lzma'])(
    'has its secondary compression refused, with the remedy: %s',
    async (kind) => {
      await place(noise(20_000, 1), pages);
      await run('xdelta3', ['-e', '-f', '-S', kind, '-s', at('base'), at('target'), at('delta')]);
      const refused = codec.files?.patch(at('base'), at('delta'), at('made'));
      await expect(refused).rejects.toMatchObject({
        code: 'DELTA_INVALID',
        message: expect.stringContaining('secondary compression'),
        remedy: expect.stringContaining('-S none'),
      });
    },
  );

  it('without checksums is read from files only, where no codec wrote them', async () => {
    await place(pages, edited);
    await run('xdelta3', ['-n', ...plain, at('base'), at('target'), at('delta')]);
    await codec.files?.patch(at('base'), at('delta'), at('made'));
    await expectSame('made', edited);
    const decoded = codec.decode(pages, await readFile(at('delta')), { targetBytes: edited.length });
    await expect(decoded).rejects.toThrow(/checksum/);
  });
});

describe('bsdiff', () => {
  const codec = bsdiffCodec();
  beforeAll(() => needs('bsdiff', 'bsdiff'));

  const within = PAIRS.filter(({ base }) => base.length < 8 * MiB);
  readsOurs(codec, () => run('bspatch', [at('base'), at('made'), at('delta')]), within);
  // Debian's bsdiff fails on an empty base: it cannot map it.
  const mappable = within.filter(({ base }) => base.length > 0);
  isReadByUs(codec, () => run('bsdiff', [at('base'), at('target'), at('delta')]), mappable);

  it('finds no more than we do in a program whose addresses moved', async () => {
    const base = await readFile('/bin/bash');
    const target = Buffer.concat([base.subarray(0, 200_000), noise(100, 5), base.subarray(200_000)]);
    for (let i = 4096; i + 4 < target.length; i += 97)
      target.writeUInt8(((target[i] as number) + 1) & 255, i);
    await place(base, target);
    await run('bsdiff', [at('base'), at('target'), at('delta')]);
    const theirs = (await readFile(at('delta'))).length;
    const ours = await codec.encode(base, target);
    expect(ours.length).toBeLessThan(theirs * 1.03);
    await writeFile(at('delta'), ours);
    await run('bspatch', [at('base'), at('made'), at('delta')]);
    await expectSame('made', target);
  });
});

describe('zstd --patch-from', () => {
  const codec = zstdCodec();
  beforeAll(() => needs('zstd', 'zstd'));
  const from = (): string => `--patch-from=${at('base')}`;

  readsOurs(codec, () => run('zstd', ['-d', '-q', '-f', from(), at('delta'), '-o', at('made')]));
  isReadByUs(codec, () => run('zstd', ['-q', '-f', from(), at('target'), '-o', at('delta')]));

  it.each(['-1', '-19'])('is read at level %s', async (level) => {
    await place(pages, edited);
    await run('zstd', [level, '-q', '-f', from(), at('target'), '-o', at('delta')]);
    await codec.files?.patch(at('base'), at('delta'), at('made'));
    await expectSame('made', edited);
  });
});

/** In-memory deltas and whole files of ours, applied by the field's own tool. */
function readsOurs(codec: DeltaCodec, patch: () => Promise<unknown>, pairs = PAIRS): void {
  it.each(pairs)('applies our files: $title', async ({ base, target }) => {
    await place(base, target);
    await codec.files?.delta(at('base'), at('target'), at('delta'));
    await patch();
    await expectSame('made', target);
  });

  it.each(inMemory(codec, pairs))('applies our in-memory deltas: $title', async ({ base, target }) => {
    await place(base, target);
    for (const effort of ['fast', 'small'] as const) {
      await writeFile(at('delta'), await codec.encode(base, target, { effort }));
      await rm(at('made'), { force: true });
      await patch();
      await expectSame('made', target);
    }
  });
}

/** The field's own deltas, applied by us, from files and in memory. */
function isReadByUs(codec: DeltaCodec, delta: () => Promise<unknown>, pairs = PAIRS): void {
  it.each(pairs)('writes files that we read: $title', async ({ base, target }) => {
    await place(base, target);
    await delta();
    await codec.files?.patch(at('base'), at('delta'), at('made'));
    await expectSame('made', target);
  });

  it.each(inMemory(codec, pairs))('writes what we read in memory: $title', async ({ base, target }) => {
    await place(base, target);
    await delta();
    const made = await codec.decode(base, await readFile(at('delta')), { targetBytes: target.length });
    expect(Buffer.compare(made, target)).toBe(0);
  });
}

function inMemory({ limits }: DeltaCodec, pairs: typeof PAIRS): typeof PAIRS {
  return pairs.filter(
    ({ base, target }) => base.length <= limits.maxBaseBytes && target.length <= limits.maxTargetBytes,
  );
}

async function place(base: Uint8Array, target: Uint8Array): Promise<void> {
  await writeFile(at('base'), base);
  await writeFile(at('target'), target);
}

async function expectSame(name: string, wanted: Uint8Array): Promise<void> {
  expect(Buffer.compare(await readFile(at(name)), wanted)).toBe(0);
}

async function needs(program: string, debianPackage: string): Promise<void> {
  try {
    await run(program, ['-V']);
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'ENOENT') return;
    throw new Error(`${program} is not installed: apt-get install ${debianPackage}`);
  }
}
