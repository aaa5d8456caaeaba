import { mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Entry, FileStamp } from '@overdub/core/agent';
import { collect } from '@overdub/core/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type RecordLine, readHeader, readRecord, writeHead, writeRecord } from './record.ts';
import { type OnFile, placeRecord, recordWritten, writeRestored } from './restored-record.ts';

const ENDED_NS = 1_800_000_000_500_000_000n;
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

function stamp(inode: string, ctimeNs = '1800000000000000001'): FileStamp {
  return { size: 1, mtimeNs: '1700000000000000000', ctimeNs, inode, device: '1' };
}

async function* stream<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}

const neverLost = (why: unknown) => {
  throw why;
};

function toldOf(written: readonly (readonly [string, FileStamp])[]) {
  return async (onFile: OnFile) => {
    for (const [path, found] of written) onFile(path, found);
    return 'done';
  };
}

/** What is recorded of these files of the image, some of them written, and some there before. */
async function restored(
  target: readonly Entry[],
  written: readonly (readonly [string, FileStamp])[],
  present?: readonly RecordLine[],
) {
  const at = (name: string) => join(dir, name);
  await writeRecord(at('target'), HEADER, stream(target.map((entry) => ({ entry }))));
  if (present !== undefined) await writeRecord(at('present'), { server: 'web-1' }, stream(present));
  await recordWritten(at('written'), HEADER, toldOf(written), neverLost);
  await writeRestored(at('restored'), HEADER, {
    target: at('target'),
    present: present && at('present'),
    written: at('written'),
    endedNs: ENDED_NS,
  });
  return await collect(readRecord(at('restored')));
}

describe('the record of a restore', () => {
  it('has the image’s entries, files with the stamps that they were left with', async () => {
    const root: Entry = { path: '', type: 'directory', mode: 0o755, uid: 0, gid: 0, mtimeNs: '0' };
    const lines = await restored(
      [root, file('a'), file('b "quoted",'), file('c')],
      [
        ['a', stamp('1')],
        ['b "quoted",', stamp('2')],
        ['c', stamp('3')],
      ],
    );
    expect(lines).toEqual([
      { entry: root },
      { entry: file('a'), stamp: stamp('1') },
      { entry: file('b "quoted",'), stamp: stamp('2') },
      { entry: file('c'), stamp: stamp('3') },
    ]);
  });

  it('trusts no time of a file that another could have written in the same tick', async () => {
    const fresh = stamp('2', String(ENDED_NS - 50_000_000n));
    const lines = await restored(
      [file('a'), file('b'), file('c')],
      [
        ['a', stamp('1')],
        ['b', fresh],
        ['c', stamp('3')],
      ],
    );
    expect(lines.map((line) => line.stamp?.inode)).toEqual(['1', undefined, '3']);
  });

  it('keeps what is known of files that lay there already, as the image has them', async () => {
    const lines = await restored(
      [file('a'), file('b'), file('d'), file('e')],
      [['d', stamp('9')]],
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
      { entry: file('d'), stamp: stamp('9') },
      { entry: file('e') },
    ]);
  });

  it('takes its place whole, and what was said of the record before no longer holds', async () => {
    await restored([file('a')], [['a', stamp('1')]]);
    const place = join(dir, 'state', 'record');
    await writeRecord(place, { server: 'web-1' }, stream([{ entry: file('old') }]));
    await writeHead(place, { server: 'web-1', manifest: { ...HEADER.manifest, bytes: 9 }, exact: true });
    await placeRecord(join(dir, 'restored'), place, neverLost);
    expect(await readHeader(place)).toMatchObject(HEADER);
    expect(await readHeader(place)).not.toHaveProperty('exact');
    expect(await collect(readRecord(place))).toEqual([{ entry: file('a'), stamp: stamp('1') }]);
  });

  it('is not there when the work fails', async () => {
    const work = async (onFile: OnFile) => {
      onFile('a', stamp('1'));
      throw new Error('the disk is full');
    };
    const failing = recordWritten(join(dir, 'written'), HEADER, work, neverLost);
    await expect(failing).rejects.toThrow('the disk is full');
    expect(await readHeader(join(dir, 'written'))).toBeUndefined();
  });
});

describe('the record of a restore, where there is no room for it', () => {
  const said: string[] = [];
  const onLost = (why: unknown) => said.push(String(why));
  beforeEach(() => {
    said.length = 0;
  });

  /** Whatever is written for the record of this path meets a full disk. */
  async function full(path: string): Promise<void> {
    await symlink('/dev/full', `${path}.part`);
  }

  it.each([1, 20_000])('is given up, and the work goes on: %i files', async (files) => {
    const path = join(dir, 'written');
    await full(path);
    const written = Array.from({ length: files }, (_, nth) => [`file ${nth}`, stamp(`${nth}`)] as const);
    const done = await recordWritten(path, HEADER, toldOf(written), onLost);
    expect(done).toEqual({ result: 'done', isRecorded: false });
    expect(said).toEqual([expect.stringContaining('ENOSPC')]);
    expect(await readdir(dir)).toEqual([]);
  });

  it('is not begun where not even a name can be had', async () => {
    await mkdir(join(dir, 'written.part'));
    const done = await recordWritten(join(dir, 'written'), HEADER, toldOf([['a', stamp('1')]]), onLost);
    expect(done).toEqual({ result: 'done', isRecorded: false });
    expect(said).toHaveLength(1);
  });

  /** Takes the directory away, and puts a file in its place: as little can be removed there as on a disk that fails. */
  async function breakUp(directory: string): Promise<void> {
    await rename(directory, `${directory}.gone`);
    await writeFile(directory, '');
  }

  it('is given up also where it cannot be thrown away', async () => {
    const work = join(dir, 'work');
    const path = join(work, 'written');
    const done = await recordWritten(path, HEADER, () => breakUp(work).then(() => 'done'), onLost);
    expect(done).toEqual({ result: 'done', isRecorded: false });
    expect(said).toEqual([expect.stringContaining('ENOTDIR')]);
  });

  it('leaves the work its own reason where it cannot be thrown away', async () => {
    const work = join(dir, 'work');
    const failing = async () => {
      await breakUp(work);
      throw new Error('the disk failed');
    };
    await expect(recordWritten(join(work, 'written'), HEADER, failing, onLost)).rejects.toThrow(
      'the disk failed',
    );
    expect(said).toEqual([]);
  });

  it('gives back its room before the work is over', async () => {
    const path = join(dir, 'written');
    await full(path);
    const work = async (onFile: OnFile) => {
      for (let nth = 0; said.length === 0; nth++) onFile(`file ${nth}`, stamp(`${nth}`));
      return await readdir(dir);
    };
    expect((await recordWritten(path, HEADER, work, onLost)).result).toEqual([]);
  });

  it('is not half there when its lines are put together', async () => {
    await writeRecord(join(dir, 'target'), HEADER, stream([{ entry: file('a') }]));
    await full(join(dir, 'restored'));
    const parts = { target: join(dir, 'target'), present: undefined, written: undefined, endedNs: ENDED_NS };
    await expect(writeRestored(join(dir, 'restored'), HEADER, parts)).rejects.toMatchObject({
      code: 'ENOSPC',
    });
    expect(await readdir(dir)).toEqual(['target']);
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
  const made = () => restored([file('a')], [['a', stamp('1')]]);
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
      expect(await readdir(dir)).toEqual(['state']);
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
