/** Which layers make the image: OCI image layout 1.0, and the manifest.json of `docker save`. */

import { OverdubError } from '@overdub/core/agent';
import { damaged, type ImageStore, missing, readJson } from './image-store.ts';

interface Descriptor {
  readonly digest: string;
  readonly mediaType: string;
  readonly platform?: { readonly os?: string; readonly architecture?: string };
}

const INDEX_TYPES = /(image\.index|manifest\.list)\.v[12]\+json$/;
const MAX_DEPTH = 4;

/** Names of the layer blobs, lowest first. */
export async function findLayers(store: ImageStore): Promise<string[]> {
  const index = await readJson(store, 'index.json');
  if (index !== undefined) return ociLayers(store, index);
  const manifest = await readJson(store, 'manifest.json');
  if (!Array.isArray(manifest)) throw damaged('it has neither index.json nor manifest.json');
  const [image] = manifest as { Layers?: unknown }[];
  if (manifest.length > 1) throw several(manifest.length);
  return strings(image?.Layers);
}

async function ociLayers(store: ImageStore, index: unknown): Promise<string[]> {
  let level = index;
  for (let depth = 0; depth < MAX_DEPTH; depth++) {
    const chosen = chooseManifest(descriptors(level, 'manifests'));
    const name = blobName(chosen);
    level = (await readJson(store, name)) ?? missing(name);
    if (!INDEX_TYPES.test(chosen.mediaType)) return descriptors(level, 'layers').map(blobName);
  }
  throw damaged('its indexes are nested too deeply');
}

/** The image for this machine's processor, when there are several; attestations are none. */
function chooseManifest(all: readonly Descriptor[]): Descriptor {
  const images = all.filter(({ platform }) => platform?.os !== 'unknown');
  const [only] = images;
  if (only !== undefined && images.length === 1) return only;
  const architecture = process.arch === 'arm64' ? 'arm64' : 'amd64';
  const mine = images.filter(
    ({ platform }) => platform?.os === 'linux' && platform.architecture === architecture,
  );
  const [chosen] = mine;
  if (chosen === undefined || mine.length > 1) throw several(images.length);
  return chosen;
}

function descriptors(value: unknown, key: 'manifests' | 'layers'): Descriptor[] {
  const list = (value as Record<string, unknown> | null)?.[key];
  if (!Array.isArray(list)) throw damaged(`a manifest of it has no ${key}`);
  return list.map((item: Partial<Descriptor> | null) => ({
    ...item,
    digest: String(item?.digest),
    mediaType: String(item?.mediaType ?? ''),
  }));
}

function blobName({ digest }: Descriptor): string {
  const hex = /^sha256:([0-9a-f]{64})$/.exec(digest)?.[1];
  if (hex === undefined) throw damaged(`it names a blob by ${JSON.stringify(digest)}, which is no SHA-256`);
  return `blobs/sha256/${hex}`;
}

function strings(value: unknown): string[] {
  if (!Array.isArray(value) || !value.every((item) => typeof item === 'string')) {
    throw damaged('its manifest.json names no layers');
  }
  return value as string[];
}

function several(count: number): OverdubError {
  return new OverdubError(
    'IMAGE_INVALID',
    count === 0
      ? 'The archive holds no image.'
      : `The archive holds ${count} images, and none of them is the obvious one.`,
    'Export one image for one platform, for example `docker save --output web.tar web:latest`.',
  );
}
