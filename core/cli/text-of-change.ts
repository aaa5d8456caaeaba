/** Text differences of changed files that are small and text on both sides. */

import type { DiffEntry } from '../contracts/control.ts';
import { type ApiClient, collect, segment } from './client.ts';
import { asText, unifiedDiff } from './text-diff.ts';

const MAX_FILE_BYTES = 64 * 1024;
/** Each costs two requests: a thousand changed files are listed without. */
const MAX_FILES = 50;

/** For each change its unified diff; `undefined` where there is none to show. */
export function textDifference(
  client: ApiClient,
  images: { readonly from: string; readonly to: string },
): (change: DiffEntry) => Promise<string | undefined> {
  let left = MAX_FILES;
  return async ({ change, path, before, after }) => {
    if (change !== 'content' || left === 0 || !isSmall(before) || !isSmall(after)) return undefined;
    left -= 1;
    const texts = await Promise.all([readText(client, images.from, path), readText(client, images.to, path)]);
    const [old, now] = texts;
    return old === undefined || now === undefined ? undefined : unifiedDiff(old, now);
  };
}

function isSmall(entry: DiffEntry['before']): boolean {
  return entry?.content !== undefined && entry.content.bytes <= MAX_FILE_BYTES;
}

async function readText(client: ApiClient, image: string, path: string): Promise<string | undefined> {
  const { content } = await client.bytes(`/images/${segment(image)}/content`, { path });
  return asText(Buffer.concat(await collect(content)));
}
