import { createWriteStream } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { sessionCpio } from '../../ramdisk/session.ts';
import type { LoadRequest } from './load.ts';

/**
 * Writes the ramdisk's two files. The session comes first, as in a boot script: it is not compressed and a multiple of
 * 512 bytes, so that the compressed archive behind it needs no padding.
 */
export async function fetchRamdisk({
  url,
  boot,
  open,
  kernel,
  initrd,
}: LoadRequest & { readonly kernel: string; readonly initrd: string }): Promise<void> {
  await pipeline(await open(boot.kernel), createWriteStream(kernel, { mode: 0o600 }));
  await writeFile(initrd, sessionCpio({ url, nonce: boot.nonce }), { mode: 0o600 });
  await pipeline(await open(boot.initrd), createWriteStream(initrd, { flags: 'a' }));
}
