/** Pages of what is on the disk, so that only those that differ are fetched. */

import { createWriteStream } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { finished } from 'node:stream/promises';
import {
  type Digest,
  digestOf,
  type Entry,
  encodeFrame,
  FRAME,
  type Frame,
  type ManifestRef,
  OverdubError,
  packDigests,
  type ReadHead,
  requestFrames,
  walkEntries,
} from '@overdub/core/agent';
import type { Appliance } from '../link/appliance.ts';
import { pagesOf } from './pages.ts';

const DIGESTS_A_FRAME = 4096;

interface Place {
  readonly offset: number;
  readonly bytes: number;
}

export class PageStore {
  readonly #path: string;
  readonly #places = new Map<Digest, Place>();

  private constructor(path: string) {
    this.#path = path;
  }

  /** Builds the pages of a record into a file at `path`. */
  static async build(path: string, record: string): Promise<PageStore> {
    const store = new PageStore(path);
    const out = createWriteStream(path, { mode: 0o600 });
    const done = finished(out);
    let offset = 0;
    for await (const page of pagesOf(record, () => undefined)) {
      store.#places.set(page.digest, { offset, bytes: page.bytes.length });
      offset += page.bytes.length;
      if (!out.write(page.bytes))
        await Promise.race([new Promise<void>((go) => out.once('drain', go)), done]);
    }
    out.end();
    await done;
    return store;
  }

  /** Entries of an image: pages that are here from here, the others from the appliance, each verified. */
  async *entries(appliance: Appliance, image: ManifestRef, signal: AbortSignal): AsyncGenerator<Entry> {
    const head: ReadHead = { image };
    const frames = appliance.read('manifest', () => requestFrames(head, this.#have()), signal);
    const file = await open(this.#path, 'r');
    const read = async (digest: Digest): Promise<Uint8Array> => {
      const place = this.#places.get(digest);
      if (place === undefined) return verifiedPage(await frames.next(), digest);
      const bytes = Buffer.alloc(place.bytes);
      await file.read(bytes, 0, place.bytes, place.offset);
      return bytes;
    };
    try {
      yield* walkEntries(image, read);
    } finally {
      await file.close();
      await frames.return(undefined);
    }
  }

  async remove(): Promise<void> {
    await rm(this.#path, { force: true });
  }

  *#have(): Generator<Uint8Array> {
    const digests = [...this.#places.keys()];
    for (let from = 0; from < digests.length; from += DIGESTS_A_FRAME) {
      yield* encodeFrame(FRAME.digests, packDigests(digests.slice(from, from + DIGESTS_A_FRAME)));
    }
  }
}

function verifiedPage(next: IteratorResult<Frame>, digest: Digest): Uint8Array {
  const page = next.done === true ? undefined : next.value;
  if (page?.type === FRAME.page && digestOf(page.payload) === digest) return page.payload;
  throw new OverdubError(
    'REPOSITORY_DAMAGED',
    'The appliance sent another manifest page than the image has.',
    'Repeat the restore; if it happens again, verify the repository.',
  );
}
