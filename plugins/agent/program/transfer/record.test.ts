import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HeldLine, headOfLine } from './held-line.ts';
import { mapOrdered } from './ordered.ts';
import {
  keptLines,
  type RecordLine,
  readHeader,
  readRecord,
  writeHead,
  writeRecord,
  writeUnlessKept,
} from './record.ts';
import { RecordCursor } from './record-cursor.ts';

const HEADER = { server: 'web-1' };

function lineOf(at: number): RecordLine {
  const path = `srv/${String(at).padStart(6, '0')} "\n\u2028ü`;
  return { entry: { path, type: 'file', mode: 0o644, uid: 0, gid: 0, mtimeNs: '1' } };
}

async function* lines(count: number): AsyncGenerator<RecordLine> {
  for (let at = 0; at < count; at++) yield lineOf(at);
}

async function* kept(source: AsyncIterable<RecordLine>): AsyncGenerator<RecordLine> {
  for await (const line of source) yield { ...line, kept: true };
}

async function all<T>(source: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const one of source) found.push(one);
  return found;
}

describe('a record', () => {
  let directory: string;
  let path: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'overdub-record-'));
    path = join(directory, 'record');
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  it.each([0, 1, 20_000])('gives back its %i lines, whatever stands in them', async (count) => {
    await writeRecord(path, HEADER, lines(count));
    expect(await all(readRecord(path))).toEqual(await all(lines(count)));
    expect(await readHeader(path)).toMatchObject(HEADER);
  });

  it('is found cut off, at whatever byte', async () => {
    await writeRecord(path, HEADER, lines(3000));
    const whole = readFileSync(path);
    for (const length of [1, 100, whole.length >> 1, whole.length - 1]) {
      truncateSync(path, length);
      await expect(all(readRecord(path)), `${length} bytes`).rejects.toThrow();
      writeFileSync(path, whole);
    }
  });

  it('stays as it was when the new one fails on the way', async () => {
    await writeRecord(path, HEADER, lines(2));
    const failing = async function* () {
      yield* lines(20_000);
      throw new Error('the disk died');
    };
    await expect(writeRecord(path, HEADER, failing())).rejects.toThrow('the disk died');
    expect(await all(readRecord(path))).toHaveLength(2);
  });

  it('that cannot take its place fails with that reason, and leaves nothing behind', async () => {
    mkdirSync(join(path, 'in the way'), { recursive: true });
    await expect(writeRecord(path, HEADER, lines(1))).rejects.toMatchObject({ syscall: 'rename' });
    expect(readdirSync(directory)).toEqual(['record']);
  });

  it('is named by the file beside it, until other lines come', async () => {
    const manifest = { root: 'a'.repeat(64), entries: 2, bytes: 0 };
    await writeRecord(path, HEADER, lines(2));
    await writeHead(path, { ...HEADER, manifest });
    expect(await readHeader(path)).toMatchObject({ manifest });
    await writeRecord(path, HEADER, lines(3));
    expect((await readHeader(path))?.manifest).toBeUndefined();
  });

  it('is not written when every line is kept, none missing', async () => {
    await writeRecord(path, HEADER, lines(3000));
    const spool = join(directory, 'spool');
    const write = (what: AsyncIterable<RecordLine>) => writeUnlessKept(spool, HEADER, what, path, 3000);
    expect(await write(kept(lines(3000)))).toBe('kept');
    await expect(all(readRecord(spool))).rejects.toThrow();
    expect(await write(kept(lines(2999)))).toBe('changed');
    expect(await all(readRecord(spool))).toEqual(await all(lines(2999)));
  });

  it('holds what was kept before and behind a change, without what was said of it then', async () => {
    const then = async function* () {
      for await (const line of lines(3000)) yield { ...line, changed: true as const };
    };
    await writeRecord(path, HEADER, then());
    const spool = join(directory, 'spool');
    const now = async function* () {
      for await (const line of kept(lines(3000))) {
        yield line.entry.path === lineOf(1500).entry.path ? { entry: { ...line.entry, mode: 0o600 } } : line;
      }
    };
    expect(await writeUnlessKept(spool, HEADER, now(), path, 3000)).toBe('changed');
    const wanted = await all(lines(3000));
    wanted[1500] = { entry: { ...lineOf(1500).entry, mode: 0o600 } };
    expect(await all(readRecord(spool))).toEqual(wanted);
    expect(await all(keptLines(path))).toEqual(await all(lines(3000)));
  });

  it('holds a new stamp where the entry is the same, and says that nothing else is new', async () => {
    await writeRecord(path, HEADER, lines(3000));
    const stamp = { size: 0, mtimeNs: '1', ctimeNs: '2', inode: '3', device: '4' };
    const now = async function* () {
      for await (const line of kept(lines(3000))) {
        yield line.entry.path === lineOf(7).entry.path ? { ...lineOf(7), stamp, same: true as const } : line;
      }
    };
    const spool = join(directory, 'spool');
    expect(await writeUnlessKept(spool, HEADER, now(), path, 3000)).toBe('same');
    const wanted = await all(lines(3000));
    wanted[7] = { ...lineOf(7), stamp };
    expect(await all(readRecord(spool))).toEqual(wanted);
    expect(await writeUnlessKept(spool, HEADER, now(), path, 3001)).toBe('changed');
  });

  it('is walked alongside another listing', async () => {
    await writeRecord(path, HEADER, lines(20_000));
    const cursor = new RecordCursor(path);
    try {
      expect(cursor.seek('a')).toBeUndefined();
      for (const at of [0, 1, 7, 9_999, 19_999]) {
        const wanted = lineOf(at);
        expect(cursor.seek(wanted.entry.path)?.entry).toEqual(wanted.entry);
        expect(cursor.seek(wanted.entry.path)?.stamp).toBeUndefined();
        expect(cursor.seek(`${wanted.entry.path}-behind`)).toBeUndefined();
      }
      expect(cursor.seek('z')).toBeUndefined();
    } finally {
      cursor.close();
    }
  });
});

describe('a line of a record, unparsed', () => {
  const stamp = { size: 5, mtimeNs: '1', ctimeNs: '2', inode: '3', device: '4' };
  const { entry } = lineOf(7);
  const held = (line: RecordLine) => new HeldLine(JSON.stringify(line), headOfLine(entry.path));

  it('is still so while type and stamp are equal, whatever else stands behind them', () => {
    expect(held({ entry, stamp }).isStill({ type: 'file', stamp })).toBe(true);
    expect(held({ entry, stamp, changed: true }).isStill({ type: 'file', stamp })).toBe(true);
    expect(held({ entry, stamp }).isStill({ type: 'file', stamp: { ...stamp, device: '9' } })).toBe(true);
  });

  it.each(['size', 'mtimeNs', 'ctimeNs', 'inode'] as const)('is not when its %s is another', (field) => {
    const other = { ...stamp, [field]: field === 'size' ? 15 : '15' };
    expect(held({ entry, stamp }).isStill({ type: 'file', stamp: other })).toBe(false);
  });

  it('is not of another type, of another link group, or without a stamp', () => {
    expect(held({ entry, stamp }).isStill({ type: 'symlink', stamp })).toBe(false);
    expect(held({ entry }).isStill({ type: 'file', stamp })).toBe(false);
    const link = { ...entry, type: 'hardlink' as const, target: 'a' };
    const line = held({ entry: link, stamp });
    expect(line.isStill({ type: 'hardlink', stamp, target: 'a' })).toBe(true);
    expect(line.isStill({ type: 'hardlink', stamp, target: 'b' })).toBe(false);
  });
});

describe('mapOrdered', () => {
  const sleep = (ms: number) => new Promise<void>((done) => setTimeout(done, ms));
  async function* numbers(count: number) {
    for (let at = 0; at < count; at++) yield at;
  }

  it('keeps the order of results that are there at once and of others', async () => {
    const work = (n: number) => (n % 3 === 0 ? n : sleep(n % 5).then(() => n));
    expect(await all(mapOrdered(numbers(50), 4, work))).toEqual(Array.from({ length: 50 }, (_, n) => n));
  });

  it('never works on more at once than allowed', async () => {
    let running = 0;
    let most = 0;
    const work = async (n: number) => {
      running += 1;
      most = Math.max(most, running);
      await sleep(1);
      running -= 1;
      return n;
    };
    await all(mapOrdered(numbers(20), 4, work));
    expect(most).toBe(4);
  });

  it('tells of a failure in its turn', async () => {
    const work = (n: number) => (n === 3 ? Promise.reject(new Error('three')) : n);
    const seen: number[] = [];
    const reading = (async () => {
      for await (const n of mapOrdered(numbers(10), 4, work)) seen.push(n);
    })();
    await expect(reading).rejects.toThrow('three');
    expect(seen).toEqual([0, 1, 2]);
  });
});
