import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Entry, FileStamp } from '@overdub/core/agent';
import { collect } from '@overdub/core/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type RecordLine, readHeader, readRecord, writeHead, writeRecord } from './record.ts';
import { placeRecord, writeRestored } from './restored-record.ts';

const HEADER = { server: 'web-1', manifest: { root: 'f'.repeat(64), entries: 4, bytes: 3 } };

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'overdub-restored-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

function file(path: string, digit = path): Entry {
  const digest = digit.charCodeAt(0).toString(16).repeat(32);
  const content = { digest, bytes: 1, chunks: [{ digest, bytes: 1 }] };
  return { path, type: 'file', mode: 0o644, uid: 0, gid: 0, mtimeNs: '1700000000000000000', content };
}

function stamp(inode: string): FileStamp {
  const times = { mtimeNs: '1700000000000000000', ctimeNs: '1800000000000000001' };
  return { size: 1, ...times, inode, device: '1' };
}

async function* stream<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}

const neverLost = (why: unknown) => {
  throw why;
};

/** What is recorded of these files of the image, some of them there before. */
async function restored(target: readonly Entry[], present: readonly RecordLine[] = []) {
  const at = (name: string) => join(dir, name);
  await writeRecord(at('target'), HEADER, stream(target.map((entry) => ({ entry }))));
  await writeRecord(at('present'), { server: 'web-1' }, stream(present));
  await writeRestored(at('restored'), HEADER, { target: at('target'), present: at('present') });
  return await collect(readRecord(at('restored')));
}

describe('the record of a restore where something was', () => {
  it('keeps what is known of files that lay there already, as the image has them, and trusts nothing else', async () => {
    const lines = await restored(
      [file('a'), file('b'), file('d'), file('e')],
      [
        { entry: file('a'), stamp: stamp('1') },
        { entry: file('b', 'x'), stamp: stamp('2') },
        { entry: file('c'), stamp: stamp('3') },
        { entry: file('d', 'x'), stamp: stamp('4') },
        { entry: file('e') },
      ],
    );
    expect(lines).toEqual([
      { entry: file('a'), stamp: stamp('1') },
      { entry: file('b') },
      { entry: file('d') },
      { entry: file('e') },
    ]);
  });

  it('takes its place whole, and what was said of the record before no longer holds', async () => {
    await restored([file('a')], [{ entry: file('a'), stamp: stamp('1') }]);
    const place = join(dir, 'state', 'record');
    await writeRecord(place, { server: 'web-1' }, stream([{ entry: file('old') }]));
    await writeHead(place, { server: 'web-1', manifest: { ...HEADER.manifest, bytes: 9 }, exact: true });
    await placeRecord(join(dir, 'restored'), place, neverLost);
    expect(await readHeader(place)).toMatchObject(HEADER);
    expect(await readHeader(place)).not.toHaveProperty('exact');
    expect(await collect(readRecord(place))).toEqual([{ entry: file('a'), stamp: stamp('1') }]);
  });

  it('is not half there when there is no room for it', async () => {
    await symlink('/dev/full', join(dir, 'restored.part'));
    await expect(restored([file('a')])).rejects.toMatchObject({ code: 'ENOSPC' });
    expect((await readdir(dir)).sort()).toEqual(['present', 'target']);
  });
});

describe('the place of the record of a restore', () => {
  const said: string[] = [];
  const onLost = (why: unknown) => said.push(String(why));
  let place: string;
  beforeEach(async () => {
    said.length = 0;
    place = join(dir, 'state', 'record');
    await mkdir(join(dir, 'state'));
  });
  const made = () => restored([file('a')], [{ entry: file('a'), stamp: stamp('1') }]);
  const placed = () => placeRecord(join(dir, 'restored'), place, onLost);

  it.each(['nothing', 'what cannot be copied'])(
    'is left without the older one: %s was made',
    async (what) => {
      await writeRecord(place, { server: 'web-1' }, stream([{ entry: file('old') }]));
      await writeHead(place, HEADER);
      if (what !== 'nothing') await mkdir(join(dir, 'restored'));
      await placed();
      expect(said).toHaveLength(what === 'nothing' ? 0 : 1);
      expect(await readHeader(place)).toBeUndefined();
      expect(await readdir(join(dir, 'state'))).toEqual([]);
      expect(await readdir(dir)).not.toContain('restored');
    },
  );

  it.each(['record', 'record.head', 'record.part'])('is cleared of a directory %s', async (name) => {
    await made();
    await mkdir(join(dir, 'state', name, 'with something in it'), { recursive: true });
    await placed();
    expect(said).toEqual([]);
    expect(await readHeader(place)).toMatchObject(HEADER);
    expect(await readdir(join(dir, 'state'))).toEqual(['record']);
  });

  it('is cleared of a link, which nothing is written through', async () => {
    await made();
    await writeFile(join(dir, 'elsewhere'), 'of somebody else');
    await symlink(join(dir, 'elsewhere'), `${place}.part`);
    await placed();
    expect(await readHeader(place)).toMatchObject(HEADER);
    expect(await readFile(join(dir, 'elsewhere'), 'utf8')).toBe('of somebody else');
  });

  it('may be none at all: the restore goes on without a record', async () => {
    await made();
    await rm(join(dir, 'state'), { recursive: true });
    await writeFile(join(dir, 'state'), 'a file');
    await placed();
    expect(said).toHaveLength(1);
  });

  it('must not keep a record that cannot be removed, since it would be believed', async () => {
    await made();
    // Not even root removes it.
    const failing = placeRecord(join(dir, 'restored'), '/proc/version', onLost);
    await expect(failing).rejects.toMatchObject({
      code: 'STATE_UNWRITABLE',
      remedy: expect.stringContaining('/proc/version'),
    });
    expect(said).toEqual([]);
  });
});
