import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { blobStoreConformance } from '@overdub/core/testing';
import { openLocalStore } from './store.ts';

blobStoreConformance('storage-local', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'overdub-store-'));
  const open = () => openLocalStore(directory, { reserveBytes: 1024 });
  return {
    store: await open(),
    reopen: open,
    cleanUp: () => rm(directory, { recursive: true, force: true }),
  };
});
