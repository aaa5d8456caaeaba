/** What the repository's tests share. */

import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach } from 'vitest';
import type { BlobStore } from '../contracts/blob-store.ts';
import type { Clock } from '../contracts/clock.ts';
import type { Log } from '../contracts/log.ts';
import type { IngestSession, Repository } from '../contracts/repository.ts';
import { contentRefOf, digestOf } from '../domain/content-ref.ts';
import type { ContentRef, Digest, Entry, ManifestRef } from '../domain/manifest.ts';
import type { Snapshot } from '../domain/snapshot.ts';
import { collect, collectBytes } from '../testing/collect.ts';
import { MemoryBlobStore, type MemoryBlobs } from '../testing/fakes/memory-blob-store.ts';
import { type OpenRepositoryOptions, openRepository } from './open.ts';
import { decodeFooter, decodeIndex, FOOTER_BYTES, type PackedChunk } from './packs/pack-format.ts';

/** Retries at once, and never runs into a time limit. */
export const eagerClock: Clock = {
  now: () => performance.now(),
  sleep: (ms, signal) =>
    ms < 60_000
      ? Promise.resolve()
      : new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason))),
};

export const silentLog: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

/** One set of blobs and one state directory, opened and opened again. */
export interface World {
  readonly blobs: MemoryBlobs;
  readonly stateDir: string;
  open(over?: Partial<OpenRepositoryOptions>): Promise<Repository>;
  /** The process dies: its lock goes, nothing else happens. */
  crash(): void;
  cleanUp(): Promise<void>;
}

export async function makeWorld(): Promise<World> {
  const blobs: MemoryBlobs = { blobs: new Map() };
  const stateDir = await mkdtemp(join(tmpdir(), 'overdub-repository-'));
  const opened: Repository[] = [];
  return {
    blobs,
    stateDir,
    async open(over = {}) {
      const store: BlobStore = new MemoryBlobStore(blobs);
      const options = { store, codecs: [], stateDir, clock: eagerClock, log: silentLog, ...over };
      const repository = await openRepository(options);
      opened.push(repository);
      return repository;
    },
    crash() {
      delete blobs.holder;
    },
    async cleanUp() {
      for (const repository of opened) await repository.close().catch(() => undefined);
      await rm(stateDir, { recursive: true, force: true });
    },
  };
}

/** For each test of a file a world of its own, cleaned up behind it. */
export function eachWorld(): World {
  let world: World;
  beforeEach(async () => {
    world = await makeWorld();
  });
  afterEach(async () => {
    await world.cleanUp();
  });
  return {
    get blobs() {
      return world.blobs;
    },
    get stateDir() {
      return world.stateDir;
    },
    open: (over) => world.open(over),
    crash: () => world.crash(),
    cleanUp: () => world.cleanUp(),
  };
}

/** The same pseudo-random bytes for the same seed. */
export function noise(bytes: number, seed: string | number): Buffer {
  const out = Buffer.alloc(bytes);
  let block = createHash('sha512').update(`${seed}`).digest();
  for (let at = 0; at < bytes; at += 64) {
    block = createHash('sha512').update(block).digest();
    block.copy(out, at);
  }
  return out;
}

/** Bytes that compress about two to one, as programs and pages do. */
export function prose(bytes: number, seed: string | number): Buffer {
  return Buffer.from(
    noise(bytes / 2 + 1, seed)
      .toString('hex')
      .slice(0, bytes),
    'latin1',
  );
}

/** Rows of a table as text: whoever looks at what stands before them makes less of them than who does not. */
export function rows(count: number, seed: string | number): Buffer {
  const numbers = noise(4 * count, seed);
  const row = (at: number) => {
    const [user = 0, whole = 0, part = 0, second = 0] = numbers.subarray(4 * at, 4 * at + 4);
    return `(${at}, 'user-${user % 50}', ${whole}.${part % 100}, '2026-11-22 12:45:${10 + (second % 50)}')\n`;
  };
  return Buffer.from(Array.from({ length: count }, (_, at) => row(at)).join(''));
}

export async function* streamed(bytes: Uint8Array, pieceBytes = 100_000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes);
}

export function fileEntry(path: string, content: ContentRef): Entry {
  return { path, type: 'file', mode: 0o644, uid: 0, gid: 0, mtimeNs: '1', content };
}

/** Stores files and their manifest; `near` gives the former version of a path. */
export async function storeTree(
  session: IngestSession,
  files: Readonly<Record<string, Buffer>>,
  near: (path: string) => readonly ContentRef[] = () => [],
): Promise<ManifestRef> {
  const entries: Entry[] = [];
  for (const [path, bytes] of Object.entries(files)) {
    entries.push(fileEntry(path, await session.addStream(streamed(bytes), { contents: near(path) })));
  }
  return session.writeManifest(entries);
}

/** Path → SHA-256 of what the repository gives back for it: quicker to compare than the bytes. */
export async function readTree(
  repository: Repository,
  manifest: ManifestRef,
): Promise<Record<string, Digest>> {
  const files: Record<string, Digest> = {};
  for (const { path, content } of await collect(repository.readManifest(manifest))) {
    if (content !== undefined) files[path] = digestOf(await collectBytes(repository.readContent(content)));
  }
  return files;
}

/** What {@link readTree} must give for these files. */
export function digestsOf(files: Readonly<Record<string, Buffer>>): Record<string, Digest> {
  return Object.fromEntries(Object.entries(files).map(([path, bytes]) => [path, digestOf(bytes)]));
}

export async function contentsOf(
  repository: Repository,
  manifest: ManifestRef,
): Promise<Map<string, ContentRef>> {
  const entries = await collect(repository.readManifest(manifest));
  return new Map(entries.flatMap((entry) => (entry.content ? [[entry.path, entry.content] as const] : [])));
}

/** Ingests, flushes, commits. */
export async function commitTree(
  repository: Repository,
  id: string,
  files: Readonly<Record<string, Buffer>>,
  near?: (path: string) => readonly ContentRef[],
): Promise<Snapshot> {
  const session = await repository.ingest({ label: id });
  try {
    const manifest = await storeTree(session, files, near);
    await session.flush();
    const snapshot = snapshotOf(id, manifest);
    await repository.commitSnapshot(snapshot);
    return snapshot;
  } finally {
    await session.close();
  }
}

export function snapshotOf(id: string, manifest: ManifestRef, over: Partial<Snapshot> = {}): Snapshot {
  return {
    id,
    server: 'web-1',
    manifest,
    startedAt: '2026-11-22T12:44:00.000Z',
    endedAt: '2026-11-22T12:45:00.000Z',
    consistency: 'crash',
    reason: 'manual',
    suspect: false,
    pinned: false,
    skipped: [],
    skippedTotal: 0,
    stats: { bytesReceived: 0, bytesSent: 0, bytesStored: 0, filesChanged: 0 },
    ...over,
  };
}

export const refOf = (bytes: Uint8Array) => contentRefOf([bytes]);

/** Every chunk in every pack, as the packs themselves say. */
export function packedChunks({ blobs }: MemoryBlobs): PackedChunk[] {
  const packs = [...blobs].filter(([name]) => name.startsWith('packs/'));
  return packs.flatMap(([, bytes]) => {
    const footer = decodeFooter(bytes.subarray(bytes.length - FOOTER_BYTES), bytes.length);
    const index = bytes.subarray(footer.indexOffset, footer.indexOffset + footer.indexBytes);
    return decodeIndex(index, footer).flatMap((frame) => frame.chunks);
  });
}

/** Another byte, `at` of these, where they are stored as they are. */
export function damageStored({ blobs }: MemoryBlobs, stored: Buffer, at: number): void {
  for (const [name, blob] of blobs) {
    const bytes = Buffer.from(blob);
    const found = bytes.indexOf(stored.subarray(0, 100));
    if (found < 0) continue;
    bytes[found + at] = (bytes[found + at] as number) ^ 1;
    blobs.set(name, bytes);
    return;
  }
  throw new Error('it is not stored as it is');
}
