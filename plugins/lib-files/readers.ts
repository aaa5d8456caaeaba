/** Random access to bytes in a file or in memory. */

import type { FileHandle } from 'node:fs/promises';
import type { RandomReader } from '@overdub/core/agent';

/** Random access to an open file whose length stays as it is now. */
export async function fileReader(file: FileHandle): Promise<RandomReader> {
  const { size } = await file.stat();
  return {
    bytes: size,
    async read(offset, length) {
      const buffer = new Uint8Array(length);
      let filled = 0;
      while (filled < length) {
        const { bytesRead } = await file.read(buffer, filled, length - filled, offset + filled);
        if (bytesRead === 0) break;
        filled += bytesRead;
      }
      return buffer.subarray(0, filled);
    },
  };
}

/** A reader over bytes in memory; its answers are views. */
export function memoryReader(bytes: Uint8Array): RandomReader {
  return {
    bytes: bytes.length,
    read: async (offset, length) => bytes.subarray(offset, offset + length),
  };
}
