import type { MendReport, UpkeepOptions } from '../../contracts/repository.ts';
import { storedPacks } from '../chunk-index/reconcile.ts';
import { DamageWalk, type DamageWalkParts } from './damage-walk.ts';
import { checkPackIndex, recheckSuspects } from './pack-check.ts';
import { type CopySource, PackCopier, type PackCopierParts } from './pack-copier.ts';

type MenderParts = PackCopierParts & Omit<DamageWalkParts, 'signal'>;

/**
 * Mends what can be mended from the repository alone, and says what images still lack. Takes nothing away: a pack with
 * damage stays where it is, and goes by a collection once nothing needs it.
 */
export async function mend(parts: MenderParts, options: UpkeepOptions): Promise<MendReport> {
  const { signal, onProgress } = options;
  onProgress?.({ text: 'looking at packs' });
  const salvagedPacks = await salvage(parts, signal);
  onProgress?.({ text: 'looking again at what could not be read' });
  await recheckSuspects({ ...parts, signal });
  const walk = new DamageWalk({ ...parts, signal });
  const { images: _images, ...damage } = await walk.run((label) =>
    onProgress?.({ text: `looking at ${label}` }),
  );
  return { salvagedPacks, ...damage };
}

/** Packs whose own index is damaged or cut off: what the chunk index still finds in them is copied out of them. */
async function salvage(parts: MenderParts, signal: AbortSignal | undefined): Promise<number> {
  const { store, index } = parts;
  const present = await storedPacks(store);
  const copier = new PackCopier(parts, { has: () => true, moved: () => undefined });
  let salvaged = 0;
  for (const source of index.packList()) {
    signal?.throwIfAborted();
    if (!present.has(source.name) || (await isWhole(parts, source, present))) continue;
    const frames = index.framesOf(source.name);
    if (frames.length === 0) continue;
    await copier.salvage(source, frames);
    salvaged += 1;
  }
  await copier.flush();
  return salvaged;
}

async function isWhole(
  { store }: MenderParts,
  { name, bytes }: CopySource,
  present: ReadonlyMap<string, number>,
): Promise<boolean> {
  return present.get(name) === bytes && (await checkPackIndex(store, name, bytes)) === undefined;
}
