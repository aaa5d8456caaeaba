/** The files of an image archive (`docker save`, OCI layout) by name, from a tar or a directory. */

import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { OverdubError } from '@overdub/core/agent';
import { errorCode } from '../tree/libc.ts';
import { type LocalFile, openFile } from '../tree/open.ts';
import { type Compression, decompressed, detectCompression } from './decompress.ts';
import { cleanPath, resolveInside } from './image-paths.ts';
import { REMEDY } from './tar-format.ts';
import { tarMembers } from './tar-members.ts';

/** Configuration and manifests are small; more is an attack on memory. */
const MAX_JSON_BYTES = 16 * 1024 * 1024;
const PIECE = 256 * 1024;

export interface ImageStore {
  /** Bytes of a file, from `start`; undefined when there is none of that name. */
  stream(name: string, start?: number, length?: number): Promise<Readable | undefined>;
  close(): Promise<void>;
}

/** A JSON file of the archive. IMAGE_INVALID when it is too long or no JSON object. */
export async function readJson(store: ImageStore, name: string): Promise<unknown> {
  const stream = await store.stream(name);
  if (stream === undefined) return undefined;
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const piece of stream as AsyncIterable<Buffer>) {
    length += piece.length;
    if (length > MAX_JSON_BYTES) throw damaged(`its ${name} is too long`);
    pieces.push(piece);
  }
  const bytes = Buffer.concat(pieces);
  checkDigest(name, createHash('sha256').update(bytes).digest('hex'));
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    throw damaged(`its ${name} is not JSON`);
  }
}

/** Reads a blob through and compares it with the digest in its name. */
export async function verifyBlob(store: ImageStore, name: string, signal: AbortSignal): Promise<void> {
  const hash = createHash('sha256');
  const stream = (await store.stream(name)) ?? missing(name);
  for await (const piece of stream as AsyncIterable<Buffer>) {
    signal.throwIfAborted();
    hash.update(piece);
  }
  checkDigest(name, hash.digest('hex'));
}

/** The uncompressed bytes of a layer, whatever its media type claims. */
export async function* layerBytes(store: ImageStore, name: string): AsyncGenerator<Uint8Array> {
  const head: Buffer[] = [];
  for await (const piece of ((await store.stream(name, 0, 8)) ?? missing(name)) as AsyncIterable<Buffer>)
    head.push(piece);
  const stream = (await store.stream(name)) ?? missing(name);
  yield* decompressed(stream, detectCompression(Buffer.concat(head)));
}

function checkDigest(name: string, actual: string): void {
  const expected = /(?:^|\/)blobs\/sha256\/([0-9a-f]{64})$/.exec(name)?.[1];
  if (expected !== undefined && expected !== actual)
    throw damaged(`the blob ${name} does not match its digest`);
}

/** An unpacked OCI layout. Symbolic links in it are not followed. */
export function directoryStore(root: string): ImageStore {
  return {
    stream: async (name, start = 0, length = Number.POSITIVE_INFINITY) => {
      try {
        const file = openFile(root, cleanPath(name));
        return Readable.from(pieces(file, start, Math.min(file.bytes, start + length)));
      } catch (error) {
        if (errorCode(error) === 'ENOENT') return undefined;
        throw error;
      }
    },
    close: async () => {},
  };
}

async function* pieces(file: LocalFile, start: number, end: number): AsyncGenerator<Uint8Array> {
  try {
    for (let at = start; at < end; ) {
      const piece = await file.read(at, Math.min(PIECE, end - at));
      if (piece.length === 0) throw damaged('a file of it shrank while it was read');
      at += piece.length;
      yield piece;
    }
  } finally {
    file.close();
  }
}

type Member = { readonly offset: number; readonly bytes: number } | { readonly link: string };

/** An image archive in a tar; a compressed one is unpacked once into `spool`, as layers are read twice. */
export function archiveStore(
  path: string,
  compression: Compression,
  spool: () => Promise<string>,
): ImageStore {
  let opening: Promise<{ file: string; members: Map<string, Member> }> | undefined;
  let directory: string | undefined;
  const open = async () => {
    let file = path;
    if (compression !== 'none') {
      directory = await mkdtemp(join(await spool(), 'image-'));
      file = join(directory, 'archive.tar');
      await pipeline(decompressed(createReadStream(path), compression), createWriteStream(file));
    }
    return { file, members: await indexArchive(file) };
  };
  return {
    stream: async (name, start = 0, length = Number.POSITIVE_INFINITY) => {
      opening ??= open();
      const { file, members } = await opening;
      const member = find(members, name);
      if (member === undefined) return undefined;
      const bytes = Math.min(length, member.bytes - start);
      if (bytes <= 0) return Readable.from([]);
      const from = member.offset + start;
      return createReadStream(file, { start: from, end: from + bytes - 1, highWaterMark: PIECE });
    },
    close: async () => {
      if (directory !== undefined) await rm(directory, { recursive: true, force: true });
    },
  };
}

async function indexArchive(file: string): Promise<Map<string, Member>> {
  const members = new Map<string, Member>();
  const bytes = createReadStream(file, { highWaterMark: PIECE });
  for await (const member of tarMembers(bytes, new AbortController().signal)) {
    const path = cleanPath(member.path);
    if (member.type === 'file' && member.sparse === undefined) {
      members.set(path, { offset: member.dataOffset, bytes: member.bytes });
    } else if (member.type === 'symlink' || member.type === 'hardlink') {
      const inside = path.includes('/') ? path.slice(0, path.lastIndexOf('/') + 1) : '';
      members.set(path, { link: member.type === 'symlink' ? inside + member.target : (member.target ?? '') });
    }
  }
  return members;
}

/** Old docker versions save a layer that two images share as a link (`../<id>/layer.tar`). */
function find(members: ReadonlyMap<string, Member>, name: string) {
  let member = members.get(cleanPath(name));
  for (let hops = 0; member !== undefined && 'link' in member; hops++) {
    if (hops > 8) throw damaged(`${name} runs through a circle of links`);
    member = members.get(normalized(member.link));
  }
  return member as { readonly offset: number; readonly bytes: number } | undefined;
}

function normalized(path: string): string {
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  return resolveInside(cleanPath(parts.join('/')), () => undefined);
}

/** Throws IMAGE_INVALID: the archive names a file that it does not hold. */
export function missing(name: string): never {
  throw damaged(`it does not hold ${name}`);
}

export function damaged(why: string): OverdubError {
  return new OverdubError('IMAGE_INVALID', `The image archive cannot be read: ${why}.`, REMEDY);
}
