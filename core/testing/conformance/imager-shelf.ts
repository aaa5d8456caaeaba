/** Contents to restore from, and trees read and made with them: what cases of imagers are made of. */

import { createHash } from 'node:crypto';
import type {
  ApplyOptions,
  ContentSource,
  ContentStream,
  Imager,
  ScanOptions,
} from '../../contracts/imager.ts';
import type { ContentRef, Entry } from '../../domain/manifest.ts';

/** Contents by digest, as a repository would hold them. Counts what is asked for. */
export class ContentShelf implements ContentSource {
  readonly opened: string[] = [];
  readonly announced: string[] = [];
  readonly #bytes = new Map<string, Buffer>();
  /** Aborts with this many contents opened. */
  failAt = Number.POSITIVE_INFINITY;
  /** Contents up to so many bytes are at hand, and gone when the next one is opened. */
  atHandBytes = -1;
  #lent = Buffer.alloc(0);

  put(bytes: Buffer): ContentRef {
    const digest = createHash('sha256').update(bytes).digest('hex');
    this.#bytes.set(digest, bytes);
    return {
      digest,
      bytes: bytes.length,
      chunks: bytes.length === 0 ? [] : [{ digest, bytes: bytes.length }],
    };
  }

  /** Replaces what a digest stands for: damage. */
  corrupt(digest: string, bytes: Buffer): void {
    this.#bytes.set(digest, bytes);
  }

  announce(contents: readonly ContentRef[]): void {
    this.announced.push(...contents.map((content) => content.digest));
  }

  open(content: ContentRef): ContentStream {
    this.opened.push(content.digest);
    this.#lent.fill('gone');
    const bytes = this.#bytes.get(content.digest);
    if (bytes === undefined) throw new Error(`no content ${content.digest}`);
    const pieces = this.#pieces(bytes, this.opened.length >= this.failAt);
    const stream = { [Symbol.asyncIterator]: () => pieces };
    if (bytes.length > this.atHandBytes || this.opened.length >= this.failAt) return stream;
    this.#lent = Buffer.from(bytes);
    return { ...stream, atHand: this.#lent };
  }

  async *#pieces(bytes: Buffer, isBroken: boolean): AsyncGenerator<Uint8Array> {
    if (isBroken) {
      yield bytes.subarray(0, bytes.length >> 1);
      throw new Error('the connection broke');
    }
    for (let at = 0; at < bytes.length; at += 100_000) yield bytes.subarray(at, at + 100_000);
  }
}

/** Scans and hashes a tree, keeping its contents on `shelf`. */
export async function readTree(
  imager: Imager,
  root: string,
  shelf: ContentShelf,
  options: Partial<ScanOptions> = {},
): Promise<Entry[]> {
  const entries: Entry[] = [];
  const scan: ScanOptions = {
    excludes: [],
    onSkip: () => {},
    signal: new AbortController().signal,
    ...options,
  };
  const tree = imager.openTree(root);
  try {
    for await (const { entry } of imager.scan(root, scan)) {
      if (entry.type !== 'file') {
        entries.push(entry);
        continue;
      }
      const file = await tree.open(entry.path);
      const bytes = Buffer.from(await file.read(0, file.bytes));
      await file.close();
      entries.push({ ...entry, content: shelf.put(bytes) });
    }
  } finally {
    tree.close();
  }
  return entries;
}

/** Applies a list of entries over what a tree holds now. */
export async function applyTo(
  imager: Imager,
  root: string,
  target: readonly Entry[],
  shelf: ContentShelf,
  options: Partial<ApplyOptions> = {},
) {
  const present = await readTree(imager, root, shelf);
  return imager.apply(root, stream(target), stream(present), shelf, {
    signal: new AbortController().signal,
    onProgress: () => {},
    excludes: [],
    ...options,
  });
}

/** One after another. */
export async function* stream<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}
