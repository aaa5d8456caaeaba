/** Tars made and read in tests. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ImageSource } from '@overdub/core';
import { comparePaths, type Entry } from '@overdub/core/agent';
import { ContentShelf, collectBytes } from '@overdub/core/testing';
import { pack as createPack, type Header } from 'tar-stream';
import { openSource } from '../source/open.ts';

/** A member for {@link tar}; `data` of regular files. */
export type Member = Partial<Header> & { name: string; data?: string | Buffer };
const signal = new AbortController().signal;

/** A tar made member by member, hostile ones too. */
export async function tar(members: readonly Member[]): Promise<Buffer> {
  const pack = createPack();
  for (const { data, ...header } of members)
    pack.entry({ uid: 0, gid: 0, mtime: new Date(0), ...header }, data ?? '');
  pack.finalize();
  return collectBytes(pack as AsyncIterable<Uint8Array>);
}

/** All entries of a source, hashed, in manifest order; closes it. */
export async function readSource(source: ImageSource): Promise<Entry[]> {
  const shelf = new ContentShelf();
  const entries: Entry[] = [];
  for await (const { entry, bytes, open } of source.entries(signal)) {
    if (open === undefined) {
      entries.push(entry);
      continue;
    }
    const content = shelf.put(await collectBytes(open()));
    if (content.bytes !== bytes) throw new Error(`${entry.path}: ${content.bytes} bytes, announced ${bytes}`);
    entries.push({ ...entry, content });
  }
  await source.close();
  return entries.sort((a, b) => comparePaths(a.path, b.path));
}

/** Opens and reads a path; spools into `base`. */
export async function readPath(path: string, base: string): Promise<Entry[]> {
  const source = await openSource(path, async () => base);
  if (source === undefined) throw new Error(`${path} is nobody's`);
  return readSource(source);
}

/** Reads an archive as `image.tar` in `base`. */
export async function readArchive(bytes: Buffer, base: string): Promise<Entry[]> {
  const path = join(base, 'image.tar');
  writeFileSync(path, bytes);
  return readPath(path, base);
}

/** `path type target`, for comparing lists of entries. */
export function outline(entries: readonly Entry[]): string[] {
  return entries.map(
    ({ path, type, target }) => `${path} ${type}${target === undefined ? '' : ` ${target}`}`,
  );
}
