import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { BlobStore, PluginContext } from '@overdub/core';
import { expect, it } from 'vitest';
import storageLocal from './index.ts';

type Handler = (input: { url: string }) => Promise<BlobStore> | undefined;

function tapped(options: object): Handler {
  let handler: Handler | undefined;
  const hooks = { storage: { open: { tap: (given: Handler) => (handler = given) } } };
  storageLocal().definition.apply({ hooks } as unknown as PluginContext, options);
  if (handler === undefined) throw new Error('storage.open was not tapped');
  return handler;
}

it('answers file: URLs with a store there, and no others', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'overdub-plugin-'));
  try {
    const open = tapped({ reserveBytes: 0 });
    expect(open({ url: 's3://bucket/prefix' })).toBeUndefined();
    const store = await open({ url: pathToFileURL(join(directory, 'a b')).href });
    await store?.put('x', Buffer.from('y'));
    expect(await store?.stat('x')).toEqual({ name: 'x', bytes: 1 });
    await store?.close();
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});
