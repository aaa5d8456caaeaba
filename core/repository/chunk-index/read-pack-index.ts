import { OverdubError } from '../../errors.ts';
import {
  decodeFooter,
  decodeIndex,
  FOOTER_BYTES,
  listIndex,
  type PackedFrame,
  type PackFooter,
  type PackList,
} from '../packs/pack-format.ts';
import type { PortableStore } from '../store/portable-store.ts';

/** One read from the end usually holds footer and index both. */
const TAIL_BYTES = 64 * 1024;

/** The frames of a stored pack. Throws when the pack is truncated or malformed, twice in a row. */
export function readPackIndex(store: PortableStore, name: string, bytes: number): Promise<PackedFrame[]> {
  return decoded(store, name, bytes, decodeIndex);
}

/** Like {@link readPackIndex}, to be kept. */
export function readPackList(store: PortableStore, name: string, bytes: number): Promise<PackList> {
  return decoded(store, name, bytes, listIndex);
}

/** What a disk reads wrong once is not damaged; a storage that gives nothing was asked often enough. */
async function decoded<T>(
  store: PortableStore,
  name: string,
  bytes: number,
  decode: (index: Uint8Array, footer: PackFooter) => T,
): Promise<T> {
  const read = async () => {
    const { index, footer } = await readIndex(store, name, bytes);
    return decode(index, footer);
  };
  try {
    return await read();
  } catch (error) {
    if (error instanceof OverdubError) throw error;
    return await read();
  }
}

async function readIndex(store: PortableStore, name: string, bytes: number) {
  const start = Math.max(0, bytes - TAIL_BYTES);
  const tail = await store.read(name, { offset: start, length: bytes - start });
  if (tail === undefined || tail.length < FOOTER_BYTES) throw new Error('it is too short to be a pack');
  const footer = decodeFooter(tail.subarray(tail.length - FOOTER_BYTES), bytes);
  const range = { offset: footer.indexOffset, length: footer.indexBytes };
  const index =
    footer.indexOffset >= start
      ? tail.subarray(footer.indexOffset - start, tail.length - FOOTER_BYTES)
      : await store.read(name, range);
  if (index === undefined) throw new Error('it vanished');
  return { index, footer };
}
