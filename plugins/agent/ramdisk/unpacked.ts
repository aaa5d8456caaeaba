import { lstat, readdir, readFile, readlink } from 'node:fs/promises';
import { join, posix } from 'node:path';

/** Directories that are links into `/usr` on a merged-/usr system; older packages still ship them apart. */
const MERGED = /^(bin|sbin|lib|lib32|lib64|libx32)(?=\/|$)/;

/** `lib/x86_64-linux-gnu/libc.so.6` → `usr/lib/x86_64-linux-gnu/libc.so.6`. */
export function mergedPath(path: string): string {
  return path.replace(/^\/+/, '').replace(MERGED, 'usr/$1');
}

/** Files and links of unpacked packages under one merged-/usr name space. */
export class UnpackedFiles {
  readonly #paths = new Map<string, string>();

  /** Adds what was unpacked below `directory`. A path that two packages bring belongs to the first. */
  async add(directory: string): Promise<void> {
    for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
      if (entry.isDirectory()) continue;
      const real = join(entry.parentPath, entry.name);
      const path = mergedPath(real.slice(directory.length + 1));
      if (!this.#paths.has(path)) this.#paths.set(path, real);
    }
  }

  /** Every path below a directory, or the file itself, sorted. */
  under(path: string): string[] {
    return [...this.#paths.keys()].filter((name) => name === path || name.startsWith(`${path}/`)).sort();
  }

  /** Where the bytes behind a path lie, links followed inside the packages; undefined when nothing is there. */
  async resolve(path: string): Promise<{ path: string; real: string } | undefined> {
    let current = mergedPath(path);
    for (let links = 0; links < 16; links += 1) {
      const real = this.#paths.get(current);
      if (real === undefined) return undefined;
      if (!(await lstat(real)).isSymbolicLink()) return { path: current, real };
      current = mergedPath(posix.join('/', posix.dirname(current), '.', await readlink(real)));
    }
    return undefined;
  }

  /** Bytes behind a path, or undefined. */
  async read(path: string): Promise<Buffer | undefined> {
    const found = await this.resolve(path);
    return found && (await readFile(found.real));
  }
}
