/** The last check before a snapshot exists: every page and every chunk it names is there, and is the server's. */

import type { Digest, Entry, ManifestRef } from '../domain/manifest.ts';
import { walkPages } from '../domain/page-walk.ts';
import { decodePage } from '../domain/pages.ts';
import { OverdubError } from '../errors.ts';
import type { Transfer } from './transfer.ts';

export class CommitCheck {
  readonly #transfer: Transfer;
  readonly #manifest: ManifestRef;

  constructor(transfer: Transfer, manifest: ManifestRef) {
    this.#transfer = transfer;
    this.#manifest = manifest;
  }

  /** The image's entries. CONFLICT when it refers to something that was neither known nor sent. */
  async *entries(): AsyncGenerator<Entry> {
    const isReferable = await this.#transfer.referable();
    const read = async (digest: Digest) => {
      const bytes = this.#transfer.pageBytes.get(digest);
      if (bytes !== undefined) return await this.#transfer.readChunk({ digest, bytes });
      if (!isReferable('pages', digest)) throw missing('a page of its manifest');
      return await this.#transfer.options.repository.readChunk(digest);
    };
    for await (const page of walkPages(this.#manifest, read)) {
      this.#transfer.options.touch();
      for (const entry of decodePage(page)) {
        for (const chunk of entry.content?.chunks ?? [])
          if (!isReferable('chunks', chunk.digest)) throw missing(JSON.stringify(entry.path));
        yield entry;
      }
    }
  }

  /** IMAGE_INVALID unless the repository arrived at the same image. */
  assertSame(stored: ManifestRef): void {
    if (stored.root === this.#manifest.root) return;
    throw new OverdubError(
      'IMAGE_INVALID',
      'The stored image differs from the one that the agent announced.',
      'Compare the versions of agent and appliance; nothing was committed.',
    );
  }
}

function missing(what: string): OverdubError {
  return new OverdubError(
    'CONFLICT',
    `The snapshot cannot be committed: ${what} was neither sent nor known before.`,
    'The agent offers everything again by itself.',
  );
}
