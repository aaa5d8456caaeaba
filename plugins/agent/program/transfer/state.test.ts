import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readHeader, writeRecord } from './record.ts';
import { keepRecord, recordOf, recordPath } from './state.ts';

const manifestOf = (digit: string) => ({ root: digit.repeat(64), entries: 0, bytes: 0 });
const [OLD, NEW] = [manifestOf('a'), manifestOf('b')];

let dir: string;
let spool: string;
let printed: string[];
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'overdub-state-'));
  spool = join(dir, 'spool');
  printed = [];
  await spooled();
  await keep(OLD);
});
afterEach(() => rm(dir, { recursive: true, force: true }));

async function* nothing(): AsyncGenerator<never> {}
const spooled = () => writeRecord(spool, { server: 'web-1' }, nothing());
const keep = (manifest: typeof NEW) =>
  keepRecord(dir, spool, { server: 'web-1', manifest, exact: true }, (line) => printed.push(line));

describe('the record of a snapshot', () => {
  it('is what was spooled, and names the image', async () => {
    await spooled();
    await keep(NEW);
    expect(printed).toEqual([]);
    expect(await readHeader(recordPath(dir))).toMatchObject({ manifest: NEW, exact: true });
    expect(await recordOf(dir, NEW)).toBe(recordPath(dir));
    expect(await recordOf(dir, OLD)).toBeUndefined();
    expect((await readdir(dir)).sort()).toEqual(['record', 'record.head']);
  });

  it.each<[string, string, () => Promise<unknown>]>([
    // No bytes can be brought to this device.
    ['cannot be synced', 'fsync', () => symlink('/dev/full', spool)],
    [
      'cannot take its place',
      'rename',
      async () => {
        await spooled();
        await rm(recordPath(dir));
        await mkdir(join(recordPath(dir), 'in the way'), { recursive: true });
      },
    ],
    [
      'cannot be named',
      'ENOSPC',
      async () => {
        await spooled();
        await symlink('/dev/full', join(dir, 'record.head.part'));
      },
    ],
  ])('that %s is given up, with the one before, and says so', async (_, why, prepare) => {
    await prepare();
    await keep(NEW);
    expect(printed).toEqual([expect.stringContaining(why)]);
    expect(existsSync(spool)).toBe(false);
    for (const image of [OLD, NEW]) expect(await recordOf(dir, image)).toBeUndefined();
    expect(await readdir(dir)).not.toContain('record');
    expect(await readdir(dir)).not.toContain('record.head');
  });
});
