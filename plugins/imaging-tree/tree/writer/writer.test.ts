/** A thread that makes what it is given, in order, and one that cannot. */

import { once } from 'node:events';
import {
  closeSync,
  fstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FileStamp } from '@overdub/core/agent';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Metadata } from '../metadata.ts';
import type { WantedFile } from '../write-file.ts';
import type { Job } from './jobs.ts';
import { WriterThread } from './writer.ts';

const OWN = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
const METADATA: Metadata = { type: 'file', mode: 0o640, ...OWN, mtimeNs: '1700000000123456789' };
const wanted = (bytes: number): WantedFile => ({ ...METADATA, bytes, plainly: true });
const file = (dirfd: number, name: string, bytes: number): Job => ({
  do: 'file',
  dirfd,
  name,
  file: wanted(bytes),
});

let dir: string;
let dirfd: number;
let stamps: (FileStamp | undefined)[];
let writer: WriterThread;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'overdub-writer-'));
  dirfd = openSync(dir, 'r');
  stamps = [];
});
afterEach(async () => {
  await writer.end();
  closeSync(dirfd);
  rmSync(dir, { recursive: true, force: true });
});

/** Is this handle open? */
function isOpen(fd: number): boolean {
  try {
    fstatSync(fd);
    return true;
  } catch {
    return false;
  }
}

describe.skipIf(availableParallelism() < 2)('a writer', () => {
  beforeEach(() => {
    writer = WriterThread.start((stamp) => void stamps.push(stamp)) as WriterThread;
  });

  it('makes files, what else there is and metadata as they are told, and tells the stamps in order', async () => {
    writer.put(file(dirfd, 'a', 5), Buffer.from('first'));
    const link = { ...METADATA, type: 'symlink' as const, mode: 0o777, target: 'a' };
    writer.put({ do: 'special', dirfd, name: 'l', entry: link });
    writer.put(file(dirfd, 'empty', 0), Buffer.alloc(0));
    const below = join(dir, 'd');
    mkdirSync(below);
    writer.put({
      do: 'metadata',
      at: below,
      entry: { ...METADATA, type: 'directory', mode: 0o750 },
    });
    await writer.drained();
    expect(readFileSync(join(dir, 'a'), 'utf8')).toBe('first');
    expect(readlinkSync(join(dir, 'l'))).toBe('a');
    expect(statSync(below).mode & 0o7777).toBe(0o750);
    expect(statSync(join(dir, 'a'), { bigint: true }).mtimeNs).toBe(1700000000123456789n);
    expect(stamps.map((stamp) => stamp?.size)).toEqual([5, 0]);
    expect(stamps[0]?.inode).toBe(String(statSync(join(dir, 'a')).ino));
  });

  it('copies the bytes that it is given', async () => {
    const bytes = Buffer.from('first');
    writer.put(file(dirfd, 'a', 5), bytes);
    bytes.fill('x');
    await writer.drained();
    expect(readFileSync(join(dir, 'a'), 'utf8')).toBe('first');
  });

  it('makes thousands of files, waiting where too many are ahead', async () => {
    let waited = 0;
    const bytes = Buffer.alloc(3000, 'much');
    for (let at = 0; at < 3000; at++) {
      const room = writer.put(file(dirfd, `f${at}`, bytes.length), bytes);
      if (room === undefined) continue;
      waited += 1;
      await room;
    }
    await writer.drained();
    expect(waited).toBeGreaterThan(0);
    expect(readdirSync(dir)).toHaveLength(3000);
    expect(stamps).toHaveLength(3000);
    expect(readFileSync(join(dir, 'f2999')).equals(bytes)).toBe(true);
  });

  it('closes a handle behind what goes through it, and other threads may reuse its number then', async () => {
    mkdirSync(join(dir, 'd'));
    const below = openSync(join(dir, 'd'), 'r');
    writer.put(file(below, 'in', 2), Buffer.from('in'));
    writer.close(below);
    expect(isOpen(below)).toBe(true);
    await writer.drained();
    expect(isOpen(below)).toBe(false);
    expect(readFileSync(join(dir, 'd/in'), 'utf8')).toBe('in');
  });

  it('replaces what stands there', async () => {
    writeFileSync(join(dir, 'a'), 'in the way');
    writer.put(file(dirfd, 'a', 5), Buffer.from('first'));
    await writer.drained();
    expect(readFileSync(join(dir, 'a'), 'utf8')).toBe('first');
    expect(readdirSync(dir)).toEqual(['a']);
  });

  it('fails with the system error of what cannot be made, makes nothing behind it, and closes handles all the same', async () => {
    mkdirSync(join(dir, 'd'));
    const below = openSync(join(dir, 'd'), 'r');
    writer.put(file(dirfd, 'a', 5), Buffer.from('first'));
    writer.put(file(dirfd, 'x'.repeat(300), 5), Buffer.from('never'));
    writer.put(file(dirfd, 'behind', 5), Buffer.from('never'));
    writer.close(below);
    await expect(writer.drained()).rejects.toMatchObject({ code: 'ENAMETOOLONG', syscall: 'open' });
    expect(() => writer.put(file(dirfd, 'later', 5), Buffer.from('never'))).toThrow(/ENAMETOOLONG/);
    const last = openSync(dir, 'r');
    writer.close(last);
    await writer.end();
    expect(readdirSync(dir).sort()).toEqual(['a', 'd']);
    expect(stamps).toHaveLength(1);
    expect([below, last].map(isOpen)).toEqual([false, false]);
  });

  it('fails with what whoever is told of stamps throws', async () => {
    await writer.end();
    writer = WriterThread.start(() => {
      throw new Error('nobody wants it');
    }) as WriterThread;
    writer.put(file(dirfd, 'a', 5), Buffer.from('first'));
    await expect(writer.drained()).rejects.toThrow('nobody wants it');
  });

  it('has what could not be made told to whoever waits for something else', async () => {
    writer.put(file(dirfd, 'x'.repeat(300), 5), Buffer.from('never'));
    writer.flush();
    await once(writer.failing, 'abort');
    expect(writer.failing.reason).toMatchObject({ code: 'ENAMETOOLONG' });
  });

  it('takes no more handles than it closes by and by', async () => {
    for (let at = 0; at < 2000; at++) {
      writer.close(openSync(dir, 'r'));
      const room = writer.room();
      if (room !== undefined) await room;
      if (at % 100 === 0) expect(readdirSync('/proc/self/fd').length).toBeLessThan(1000);
    }
  });

  it('whose program is not there is none: all is made all the same, in order', async () => {
    await writer.end();
    const file404 = new URL('not-there.mjs', import.meta.url);
    writer = new WriterThread((stamp) => void stamps.push(stamp), { file: file404 });
    writer.put(file(dirfd, 'a', 5), Buffer.from('first'));
    writer.flush();
    writer.put(file(dirfd, 'b', 6), Buffer.from('second'));
    const last = openSync(dir, 'r');
    writer.close(last);
    await writer.drained();
    writer.put(file(dirfd, 'c', 5), Buffer.from('third'));
    await writer.drained();
    expect(readdirSync(dir).sort()).toEqual(['a', 'b', 'c']);
    expect(stamps.map((stamp) => stamp?.size)).toEqual([5, 6, 5]);
    expect(isOpen(last)).toBe(false);
  });

  it('says that it has ended to who goes on', async () => {
    writer.put(file(dirfd, 'a', 5), Buffer.from('first'));
    await writer.end();
    expect(readFileSync(join(dir, 'a'), 'utf8')).toBe('first');
    expect(() => writer.put(file(dirfd, 'b', 5), Buffer.from('first'))).toThrow(
      "The agent's thread that writes files has ended: it was stopped",
    );
    const last = openSync(dir, 'r');
    writer.close(last);
    expect(isOpen(last)).toBe(false);
    await writer.end();
  });
});
