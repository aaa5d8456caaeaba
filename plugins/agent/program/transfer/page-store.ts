/** Manifest pages of what is on the disk, in a file: only those that one side lacks travel. */

import { createWriteStream } from 'node:fs';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { finished } from 'node:stream/promises';
import {
  type BuiltPage,
  type Digest,
  digestOf,
  type Entry,
  encodeFrame,
  FRAME,
  type ManifestRef,
  OverdubError,
  PageBuilder,
  packDigests,
  type ReadHead,
  requestFrames,
  walkEntries,
} from '@overdub/core/agent';
import type { Appliance } from '../link/appliance.ts';
import { ComingPages } from './coming-pages.ts';
import { entriesOf, type RecordLine } from './record.ts';

const DIGESTS_A_FRAME = 4096;

interface Place {
  readonly offset: number;
  readonly bytes: number;
}

export class PageStore {
  readonly #path: string;
  readonly #places: ReadonlyMap<Digest, Place>;
  /** Names the pages' root. */
  readonly manifest: ManifestRef;

  private constructor(path: string, places: ReadonlyMap<Digest, Place>, manifest: ManifestRef) {
    this.#path = path;
    this.#places = places;
    this.manifest = manifest;
  }

  /** Builds the pages of a record's lines into a file at `path`. */
  static async build(path: string, lines: AsyncIterable<RecordLine>): Promise<PageStore> {
    const places = new Map<Digest, Place>();
    const builder = new PageBuilder();
    const out = createWriteStream(path, { mode: 0o600 });
    const done = finished(out);
    let offset = 0;
    const put = async (pages: Iterable<BuiltPage>) => {
      for (const page of pages) {
        places.set(page.digest, { offset, bytes: page.bytes.length });
        offset += page.bytes.length;
        if (!out.write(page.bytes))
          await Promise.race([new Promise<void>((go) => out.once('drain', go)), done]);
      }
    };
    for await (const entry of entriesOf(lines)) await put(builder.add(entry));
    const { pages, manifest } = builder.finish();
    await put(pages);
    out.end();
    await done;
    return new PageStore(path, places, manifest);
  }

  /** Of every page, the root last. */
  digests(): readonly Digest[] {
    return [...this.#places.keys()];
  }

  /** The bytes of pages that are here, in the order asked for. */
  async *pages(digests: readonly Digest[]): AsyncGenerator<Uint8Array> {
    const file = await open(this.#path, 'r');
    try {
      for (const digest of digests) yield await readPlace(file, this.#places.get(digest) as Place);
    } finally {
      await file.close();
    }
  }

  /** Entries of an image: pages that are here from here, the others from the appliance, each verified. */
  async *entries(appliance: Appliance, head: ReadHead, signal: AbortSignal): AsyncGenerator<Entry> {
    const file = await open(this.#path, 'r');
    const stop = new AbortController();
    const both = AbortSignal.any([signal, stop.signal]);
    let coming: ComingPages | undefined;
    const ask = () => {
      const frames = appliance.read('manifest', () => requestFrames(head, this.#have()), both);
      return new ComingPages(frames, dirname(this.#path));
    };
    const read = async (digest: Digest): Promise<Uint8Array> => {
      const place = this.#places.get(digest);
      if (place === undefined) {
        // Where all of it is here, nothing is asked for.
        coming ??= ask();
        return verified(await coming.next(), digest);
      }
      return await readPlace(file, place);
    };
    try {
      yield* walkEntries(head.image, read);
    } finally {
      stop.abort(new Error('nobody waits for it'));
      await coming?.close();
      await file.close();
    }
  }

  async remove(): Promise<void> {
    await rm(this.#path, { force: true });
  }

  *#have(): Generator<Uint8Array> {
    const digests = this.digests();
    for (let from = 0; from < digests.length; from += DIGESTS_A_FRAME) {
      yield* encodeFrame(FRAME.digests, packDigests(digests.slice(from, from + DIGESTS_A_FRAME)));
    }
  }
}

async function readPlace(file: FileHandle, { offset, bytes }: Place): Promise<Uint8Array> {
  const page = Buffer.alloc(bytes);
  await file.read(page, 0, bytes, offset);
  return page;
}

function verified(page: Uint8Array, digest: Digest): Uint8Array {
  if (digestOf(page) === digest) return page;
  throw new OverdubError(
    'REPOSITORY_DAMAGED',
    'The appliance sent another manifest page than the image has.',
    'Repeat the restore; if it happens again, verify the repository.',
  );
}
