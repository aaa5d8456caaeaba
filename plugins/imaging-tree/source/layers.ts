/** An OCI or docker image as one tree: a first pass over the layers finds what survives, a second gives it. */

import type { ImageSource, SourceEntry } from '@overdub/core';
import { findLayers } from './image-manifest.ts';
import { type ImageStore, layerBytes, verifyBlob } from './image-store.ts';
import { LayerTree } from './layer-tree.ts';
import { entryOf } from './tar.ts';
import { tarMembers } from './tar-members.ts';

/** See {@link ImageSource}. Blobs are checked against their digests before anything is given out. */
export function imageSource(store: ImageStore): ImageSource {
  return { entries: (signal) => imageEntries(store, signal), close: () => store.close() };
}

async function* imageEntries(store: ImageStore, signal: AbortSignal): AsyncGenerator<SourceEntry> {
  const layers = await findLayers(store);
  const tree = new LayerTree();
  for (const [layer, name] of layers.entries()) {
    await verifyBlob(store, name, signal);
    let ordinal = 0;
    for await (const member of tarMembers(layerBytes(store, name), signal))
      tree.add(member, layer, ordinal++);
  }
  const { byMember, implied } = tree.survivors();
  for (const [layer, name] of layers.entries()) {
    let ordinal = 0;
    for await (const member of tarMembers(layerBytes(store, name), signal)) {
      const [first, ...links] = byMember.get(`${layer}:${ordinal++}`) ?? [];
      if (first === undefined) continue;
      const entry = entryOf(first, member);
      yield member.type === 'file' ? { entry, bytes: member.bytes, open: () => member.data() } : { entry };
      for (const path of links) {
        const { device: _, sparse: __, ...metadata } = entry;
        yield { entry: { ...metadata, path, type: 'hardlink', target: first } };
      }
    }
  }
  for (const path of implied) {
    yield { entry: { path, type: 'directory', mode: 0o755, uid: 0, gid: 0, mtimeNs: '0' } };
  }
}
