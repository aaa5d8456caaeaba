/** Boot files as TFTP sends them: small ones once in memory, however many machines fetch them at once. */

import type { Artifact } from '@overdub/core/agent';
import type { TftpFile } from '@overdub/lib-netboot';

/** Larger files (a kernel, an initrd) are read as they are sent. iPXE and GRUB have 0.1 to 4 MB. */
const SMALL_BYTES = 8 * 1024 * 1024;
/** All together; the one that nobody asked for longest makes room. */
const KEPT_BYTES = 32 * 1024 * 1024;

interface Kept {
  readonly bytes: number;
  readonly content: Promise<Buffer>;
}

/** Makes TFTP files out of artifacts. One version of a small file is read once for all who fetch it. */
export class SmallFiles {
  readonly #kept = new Map<string, Kept>();

  fileOf(name: string, artifact: Artifact): TftpFile {
    const { bytes } = artifact;
    if (bytes > SMALL_BYTES) return { bytes, read: () => artifact.read() };
    const content = (): Promise<Buffer> => this.#content(name, artifact);
    return {
      bytes,
      async *read() {
        yield await content();
      },
    };
  }

  #content(name: string, artifact: Artifact): Promise<Buffer> {
    const key = `${name} ${artifact.etag}`;
    const known = this.#kept.get(key);
    const kept = known ?? { bytes: artifact.bytes, content: whole(artifact) };
    this.#kept.delete(key);
    this.#kept.set(key, kept);
    if (known === undefined) {
      kept.content.catch(() => this.#kept.delete(key));
      this.#makeRoom();
    }
    return kept.content;
  }

  #makeRoom(): void {
    let bytes = [...this.#kept.values()].reduce((sum, each) => sum + each.bytes, 0);
    for (const [key, kept] of this.#kept) {
      if (bytes <= KEPT_BYTES) return;
      this.#kept.delete(key);
      bytes -= kept.bytes;
    }
  }
}

async function whole(artifact: Artifact): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of artifact.read()) pieces.push(piece);
  return Buffer.concat(pieces);
}
