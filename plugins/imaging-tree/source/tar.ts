/** A root filesystem in a tar of any compression, streamed: nothing is extracted on the way. */

import { createReadStream } from 'node:fs';
import type { Entry, ImageSource, SourceEntry } from '@overdub/core';
import { OverdubError } from '@overdub/core/agent';
import { decompressed, detectCompression, readHead } from './decompress.ts';
import { cleanPath, type Placed, resolveInside } from './image-paths.ts';
import { REMEDY } from './tar-format.ts';
import { type TarMember, tarMembers } from './tar-members.ts';

/** See {@link ImageSource}. Directories that the archive implies but does not list come last. */
export function tarSource(path: string): ImageSource {
  return {
    entries: (signal) => tarEntries(path, signal),
    close: async () => {},
  };
}

/** The uncompressed bytes of a file. */
export async function* archiveBytes(path: string): AsyncGenerator<Uint8Array> {
  const compression = detectCompression(await readHead(path, 8));
  yield* decompressed(createReadStream(path, { highWaterMark: 256 * 1024 }), compression);
}

async function* tarEntries(path: string, signal: AbortSignal): AsyncGenerator<SourceEntry> {
  const tree = new StreamedTree();
  for await (const member of tarMembers(archiveBytes(path), signal)) {
    const entry = tree.place(member);
    if (entry === undefined) continue;
    yield member.type === 'file' ? { entry, bytes: member.bytes, open: () => member.data() } : { entry };
  }
  if (tree.isEmpty) throw new OverdubError('IMAGE_INVALID', `${path} holds no entries.`, REMEDY);
  for (const entry of tree.impliedDirectories()) yield { entry };
}

type Node = Placed & { readonly member?: TarMember; readonly first?: string };

/** What was seen so far, so that every path is judged, unique, and has its directories. */
class StreamedTree {
  readonly #nodes = new Map<string, Node>();

  get isEmpty(): boolean {
    return this.#nodes.size === 0;
  }

  /** The entry of a member; undefined for a directory that was listed before. */
  place(member: TarMember): Omit<Entry, 'content'> | undefined {
    const path = this.#resolve(member.path);
    const there = this.#nodes.get(path);
    if (there !== undefined && there.kind === 'directory' && member.type === 'directory') return undefined;
    if (there !== undefined) throw invalidEntry(member.path, 'is in the archive twice');
    if (path === '' && member.type !== 'directory')
      throw invalidEntry(member.path, 'takes the place of the root');
    if (member.type === 'hardlink') return this.#placeLink(path, member);
    this.#nodes.set(path, nodeOf(member));
    return entryOf(path, member);
  }

  /** Parents that no member listed: root's, 0755, of the epoch. */
  *impliedDirectories(): Generator<Omit<Entry, 'content'>> {
    const implied = new Set<string>();
    for (const path of this.#nodes.keys()) {
      for (let parent = parentOf(path); parent !== undefined; parent = parentOf(parent)) {
        if (this.#nodes.has(parent) || implied.has(parent)) break;
        implied.add(parent);
      }
    }
    if (!this.#nodes.has('')) implied.add('');
    for (const path of implied) yield { path, type: 'directory', mode: 0o755, uid: 0, gid: 0, mtimeNs: '0' };
  }

  #resolve(path: string): string {
    const clean = cleanPath(path);
    return clean === '' ? '' : resolveInside(clean, (at) => this.#nodes.get(at));
  }

  #placeLink(path: string, member: TarMember): Omit<Entry, 'content'> {
    const target = this.#resolve(member.target ?? '');
    const node = this.#nodes.get(target);
    if (node === undefined || node.kind === 'directory') {
      throw invalidEntry(
        member.path,
        `is a hard link to ${JSON.stringify(member.target)}, which the archive has not listed before`,
      );
    }
    const first = node.first ?? target;
    const firstMember = this.#nodes.get(first)?.member ?? member;
    this.#nodes.set(path, { ...node, first });
    const { path: _, target: __, device: ___, sparse: ____, ...metadata } = entryOf(path, firstMember);
    return { ...metadata, path, type: 'hardlink', target: first };
  }
}

function nodeOf(member: TarMember): Node {
  if (member.type === 'directory') return { kind: 'directory' };
  if (member.type === 'symlink') return { kind: 'symlink', target: member.target ?? '', member };
  return { kind: 'other', member };
}

/** Everything of a member but its bytes and the archive's own notes. */
export function entryOf(path: string, member: TarMember): Omit<Entry, 'content'> {
  const { type, mode, uid, gid, mtimeNs, target, device, xattrs, sparse } = member;
  return {
    path,
    type,
    // Linux gives every symbolic link this mode; archives say what they like.
    mode: type === 'symlink' ? 0o777 : mode,
    uid,
    gid,
    mtimeNs,
    ...(target === undefined ? {} : { target }),
    ...(device === undefined ? {} : { device }),
    ...(xattrs === undefined ? {} : { xattrs }),
    ...(sparse === undefined ? {} : { sparse }),
  };
}

function parentOf(path: string): string | undefined {
  if (path === '') return undefined;
  const cut = path.lastIndexOf('/');
  return cut < 0 ? '' : path.slice(0, cut);
}

function invalidEntry(path: string, why: string): OverdubError {
  return new OverdubError('IMAGE_INVALID', `The entry ${JSON.stringify(path)} ${why}.`, REMEDY);
}
