/** Names what a file holds, and signs it where that pays: one pass over its bytes. */

import { ContentHasher, type ContentRef, contentRefOf } from '@overdub/core/agent';
import { type SignatureStore, worthSigning } from './signatures.ts';

/** `pieces`: of the `bytes` that the file had when it was opened, each good until the next is asked for. */
export async function nameContent(
  signatures: SignatureStore | undefined,
  path: string,
  bytes: number,
  pieces: AsyncIterable<Uint8Array>,
  before: ContentRef | undefined,
): Promise<ContentRef> {
  if (signatures === undefined || !worthSigning(path, bytes)) return await contentRefOf(pieces);
  const previous = before === undefined ? undefined : await signatures.signedBase(before);
  const hasher = previous === undefined ? new EitherCuts(before) : new ContentHasher(before);
  let stayed = 0;
  async function* named(): AsyncGenerator<Uint8Array> {
    for await (const piece of pieces) {
      stayed = 0;
      // Signed first, which tells how much of it is where it was.
      yield piece;
      hasher.update(piece, 2 * stayed >= piece.length);
    }
  }
  const onStayed = (length: number) => {
    stayed += length;
  };
  const signed = await signatures.tee(named(), bytes, { previous, onStayed });
  try {
    await signed.drain();
    const content = hasher.finish();
    // A signature speaks of the length it was made for: of a file that grew meanwhile it would lie.
    if (content.bytes === bytes) await signed.keep(content.digest);
    return content;
  } finally {
    await signed.drop();
  }
}

/** Where no signature tells what stayed in place: cut both ways, and what gives more of the earlier chunks counts. */
export class EitherCuts {
  readonly #before: ReadonlySet<string>;
  readonly #byContent = new ContentHasher();
  readonly #asBefore: ContentHasher | undefined;

  constructor(before: ContentRef | undefined) {
    const chunks = before?.chunks ?? [];
    this.#before = new Set(chunks.map(({ digest }) => digest));
    this.#asBefore = chunks.length > 1 ? new ContentHasher(before) : undefined;
  }

  update(piece: Uint8Array): void {
    this.#byContent.update(piece);
    this.#asBefore?.update(piece, true);
  }

  /** Call once. */
  finish(): ContentRef {
    const byContent = this.#byContent.finish();
    const asBefore = this.#asBefore?.finish();
    return asBefore !== undefined && this.#shared(asBefore) > this.#shared(byContent) ? asBefore : byContent;
  }

  #shared({ chunks }: ContentRef): number {
    return chunks.reduce((sum, { digest, bytes }) => sum + (this.#before.has(digest) ? bytes : 0), 0);
  }
}
