import { blobStoreConformance } from '../conformance/blob-store.ts';
import { MemoryBlobStore, type MemoryBlobs } from './memory-blob-store.ts';

blobStoreConformance('MemoryBlobStore', async () => {
  const shared: MemoryBlobs = { blobs: new Map() };
  return {
    store: new MemoryBlobStore(shared),
    reopen: async () => new MemoryBlobStore(shared),
    cleanUp: async () => undefined,
  };
});
