import { mkdir, mkdtemp, readdir, readlink, rename, rm, rmdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { OpenFiles } from './open-files.ts';
import { openLocalStore } from './store.ts';

let directory: string;
let files: OpenFiles;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'overdub-open-'));
  files = new OpenFiles();
});
afterEach(async () => {
  await files.close();
  await rm(directory, { recursive: true, force: true });
});

const path = (name: string) => join(directory, name);
const text = async (name: string, at = 0) => Buffer.from(await files.read(path(name), at, 100)).toString();

/** Names of the files of the directory that this process has open. */
async function open(): Promise<string[]> {
  const fds = await readdir('/proc/self/fd');
  const found = await Promise.all(fds.map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')));
  return found
    .filter((name) => name.startsWith(`${directory}/`))
    .map((name) => name.slice(directory.length + 1));
}

describe('files that are read in parts', () => {
  it('give as many bytes as there are, from where they are asked for', async () => {
    await writeFile(path('a'), 'some bytes');
    expect(await text('a')).toBe('some bytes');
    expect(await text('a', 5)).toBe('bytes');
    expect(await text('a', 10)).toBe('');
    expect(Buffer.from(await files.read(path('a'), 2, 3)).toString()).toBe('me ');
  });

  it('stay open between two reads, not once nobody has read for a second', async () => {
    await writeFile(path('a'), 'a');
    await text('a');
    await text('a');
    expect(await open()).toEqual(['a']);
    await vi.waitFor(async () => expect(await open()).toEqual([]), { timeout: 20_000, interval: 50 });
    expect(await text('a')).toBe('a');
  });

  it('are closed once nobody has read them for a while, though others are read on', async () => {
    await writeFile(path('a'), 'a');
    await writeFile(path('b'), 'b');
    await text('a');
    const others = async () => {
      await text('b');
      expect(await open()).toEqual(['b']);
    };
    await vi.waitFor(others, { timeout: 20_000, interval: 50 });
  });

  it('are 64 at most, those that were not read for longest closed first', async () => {
    const names = Array.from({ length: 70 }, (_, at) => `file-${at}`);
    for (const name of names) await writeFile(path(name), name);
    for (const name of names) expect(await text(name)).toBe(name);
    await vi.waitFor(async () => expect((await open()).toSorted()).toEqual(names.slice(6).toSorted()));
  });

  it('are read by many at a time, also while they are left', async () => {
    const bytes = Buffer.alloc(1 << 20, 'overdub');
    await writeFile(path('a'), bytes);
    const reads = Array.from({ length: 40 }, (_, at) => {
      if (at % 7 === 3) files.leave(path('a'));
      return files.read(path('a'), at, bytes.length);
    });
    for (const [at, read] of reads.entries()) expect(bytes.subarray(at).equals(await read)).toBe(true);
    await files.close();
    expect(await open()).toEqual([]);
  });

  it('are told of as they are now once they were left, and otherwise a second later', async () => {
    await writeFile(path('a'), 'old');
    expect(await text('a')).toBe('old');
    await writeFile(path('b'), 'new');
    await rename(path('b'), path('a'));
    files.leave(path('a'));
    expect(await text('a')).toBe('new');
    await rm(path('a'));
    await vi.waitFor(() => expect(text('a')).rejects.toMatchObject({ code: 'ENOENT' }), {
      timeout: 20_000,
      interval: 50,
    });
  });

  it('fail as the system says, and are tried anew the next time', async () => {
    await expect(text('a')).rejects.toMatchObject({ code: 'ENOENT' });
    await writeFile(path('a'), 'there now');
    expect(await text('a')).toBe('there now');
    await mkdir(path('below'));
    await expect(text('below')).rejects.toMatchObject({ code: 'EISDIR' });
    await rmdir(path('below'));
    await writeFile(path('below'), 'a file now');
    expect(await text('below')).toBe('a file now');
    await expect(text('a/b')).rejects.toMatchObject({ code: 'ENOTDIR' });
  });
});

describe('a store', () => {
  const range = { offset: 0, length: 3 };

  it('gives no part of what it removed or replaced, and keeps nothing open once it is closed', async () => {
    const store = await openLocalStore(directory, { reserveBytes: 0 });
    const part = async (name: string) => Buffer.from(await store.get(name, range)).toString();
    for (const name of ['packs/a', 'packs/b', 'packs/c']) await store.put(name, Buffer.from('one'));
    for (const name of ['packs/a', 'packs/b', 'packs/c']) expect(await part(name)).toBe('one');
    await store.remove('packs/a');
    await store.put('packs/b', Buffer.from('two'));
    await expect(part('packs/a')).rejects.toMatchObject({ name: 'BlobNotFound' });
    expect(await part('packs/b')).toBe('two');
    expect((await open()).toSorted()).toEqual(['packs/b', 'packs/c']);
    await store.close();
    expect(await open()).toEqual([]);
  });
});
