/** The ramdisk that the fleet fetches: the built one, else files of its size that only the network cares about. */

import { createHash, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

const MIB = 1024 * 1024;
/** About what `overdub ramdisk build` makes. */
const SIZES = { vmlinuz: 8 * MIB, initrd: 56 * MIB } as const;
const BUILT = '/var/cache/overdub/ramdisk';

/** A directory that the plugin `agent` takes for a ramdisk; made below `directory` where none was built. */
export async function ramdiskIn(directory: string): Promise<string> {
  if (existsSync(path.join(BUILT, 'ramdisk.json'))) return BUILT;
  const made = path.join(directory, 'ramdisk');
  await mkdir(made, { recursive: true });
  const files: Record<string, { bytes: number; sha256: string }> = {};
  for (const [name, bytes] of Object.entries(SIZES)) {
    const content = randomBytes(bytes);
    await writeFile(path.join(made, name), content);
    files[name] = { bytes, sha256: createHash('sha256').update(content).digest('hex') };
  }
  await writeFile(path.join(made, 'ramdisk.json'), JSON.stringify({ digest: 'made for the fleet', files }));
  return made;
}
