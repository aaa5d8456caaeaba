import type { Digest, ManifestRef } from '../../domain/manifest.ts';
import { decodeIndex, type PageIndex } from '../../domain/page-index.ts';
import { walkPages } from '../../domain/page-walk.ts';
import { assertFollows, decodePage } from '../../domain/pages.ts';
import { OverdubError } from '../../errors.ts';
import type { ChunkIndex } from '../chunk-index/chunk-index.ts';

/** Reads one page of a manifest, verified. */
type ReadPage = (digest: Digest) => Promise<Uint8Array>;

/**
 * Throws CONFLICT unless every page and every chunk of the manifest is durable, and as long as it says: a commit must
 * refer to nothing that is not there. Pages shared with `committed` manifests were looked at when those were committed, so the
 * work is in proportion to what changed.
 */
export async function assertStored(
  manifest: ManifestRef,
  committed: readonly ManifestRef[],
  index: ChunkIndex,
  read: ReadPage,
): Promise<void> {
  const known = new Set<Digest>();
  for (const older of committed) await collectPages(older, known, index, read);
  const enter = (digest: Digest) => {
    if (known.has(digest)) return false;
    assertChunk(digest, index);
    return true;
  };
  for await (const page of walkPages(manifest, read, { enter })) {
    const entries = decodePage(page);
    for (const [at, entry] of entries.entries()) {
      assertFollows(entries[at - 1], entry);
      for (const { digest, bytes } of entry.content?.chunks ?? []) assertChunk(digest, index, bytes);
    }
  }
}

/** Digests of all pages of a committed manifest, without reading those of entries. */
async function collectPages(
  manifest: ManifestRef,
  known: Set<Digest>,
  chunks: ChunkIndex,
  read: ReadPage,
): Promise<void> {
  const waiting: Digest[] = [manifest.root];
  for (let digest = waiting.pop(); digest !== undefined; digest = waiting.pop()) {
    if (known.has(digest) || chunks.standing(digest) !== 'stored') continue;
    const index = await readIndex(digest, read);
    if (index === undefined) continue;
    known.add(digest);
    for (const page of index.pages) {
      if (index.level > 1) waiting.push(page.digest);
      else if (chunks.standing(page.digest) === 'stored') known.add(page.digest);
    }
  }
}

/** An index page of an older manifest; a damaged one only means that what is below it is looked at again. */
async function readIndex(digest: Digest, read: ReadPage): Promise<PageIndex | undefined> {
  try {
    return decodeIndex(await read(digest));
  } catch (error) {
    if (error instanceof OverdubError && error.code === 'REPOSITORY_DAMAGED') return undefined;
    throw error;
  }
}

function assertChunk(digest: Digest, index: ChunkIndex, bytes?: number): void {
  const standing = index.standing(digest, bytes);
  if (standing === 'stored' || (standing === 'condemned' && index.revive(digest))) return;
  throw new OverdubError(
    'CONFLICT',
    `The image refers to chunk ${digest}${bytes === undefined ? '' : ` of ${bytes} bytes`}, which is not stored; nothing was committed.`,
    'Take the snapshot, or import the master, again.',
  );
}
