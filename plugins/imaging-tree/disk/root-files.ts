/** Reading and writing single files of a mounted root, never through a symbolic link of it. */

import {
  chmodSync,
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { OverdubError } from '@overdub/core/agent';
import { openBeneath, openRoot, within } from '../tree/beneath.ts';
import { TreeCursor } from '../tree/cursor.ts';
import { errorCode } from '../tree/libc.ts';
import { fsPath, splitPath } from '../tree/names.ts';
import { temporaryName } from '../tree/write-file.ts';

const MAX_TEXT = 8 * 1024 * 1024;

/** What a name stands for, links not followed. */
export type Kind = 'file' | 'directory' | 'symlink' | 'other' | 'none';

/** Files of one root. Paths are relative. Close after use. */
export class RootFiles {
  readonly #fd: number;
  readonly #cursor: TreeCursor;

  constructor(root: string) {
    this.#fd = openRoot(root);
    this.#cursor = new TreeCursor(this.#fd);
  }

  close(): void {
    this.#cursor.close();
    closeSync(this.#fd);
  }

  /** `none` also when something above the path is no directory of its own. */
  kind(path: string): Kind {
    try {
      const stat = lstatSync(fsPath(this.#cursor.path(...splitPath(path))));
      if (stat.isFile()) return 'file';
      if (stat.isDirectory()) return 'directory';
      return stat.isSymbolicLink() ? 'symlink' : 'other';
    } catch (error) {
      if (isAbsent(error)) return 'none';
      throw error;
    }
  }

  /** Text of a regular file; undefined when it is missing, something else, or absurdly long. */
  read(path: string): string | undefined {
    let fd: number;
    try {
      fd = openBeneath(this.#fd, path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw error;
    }
    try {
      const stat = fstatSync(fd);
      return stat.isFile() && stat.size <= MAX_TEXT ? readFileSync(fd, 'utf8') : undefined;
    } finally {
      closeSync(fd);
    }
  }

  link(path: string): string | undefined {
    if (this.kind(path) !== 'symlink') return undefined;
    return readlinkSync(fsPath(this.#cursor.path(...splitPath(path))), 'utf8');
  }

  /** Names in a directory, sorted; none when it is missing. */
  list(path: string): string[] {
    try {
      return (readdirSync(within(this.#cursor.directory(path), '')) as string[]).sort();
    } catch (error) {
      if (isAbsent(error)) return [];
      throw error;
    }
  }

  /** Replaces a file (or link) atomically and durably; makes missing directories (0755). */
  write(path: string, content: string | Uint8Array, mode = 0o644): void {
    this.#replace(path, (temporary) => {
      const fd = openSync(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, mode);
      try {
        writeFileSync(fd, content);
        chmodSync(`/proc/self/fd/${fd}`, mode);
        fsyncSync(fd);
      } finally {
        closeSync(fd);
      }
    });
  }

  symlink(path: string, target: string): void {
    if (this.link(path) === target) return;
    this.#replace(path, (temporary) => symlinkSync(target, temporary));
  }

  /** Idempotent; not for directories. */
  remove(path: string): void {
    if (this.kind(path) === 'none') return;
    unlinkSync(fsPath(this.#cursor.path(...splitPath(path))));
  }

  #replace(path: string, make: (temporary: string) => void): void {
    const [parent, name] = splitPath(path);
    this.#ensureDirectory(parent);
    const temporary = this.#cursor.path(parent, temporaryName());
    make(temporary);
    renameSync(temporary, fsPath(this.#cursor.path(parent, name)));
  }

  #ensureDirectory(path: string): void {
    const names = path === '' ? [] : path.split('/');
    for (let depth = 1; depth <= names.length; depth++) {
      const at = names.slice(0, depth).join('/');
      const kind = this.kind(at);
      if (kind === 'directory') continue;
      if (kind !== 'none') throw linkInTheWay(at);
      this.#cursor.ensureDirectory(at);
      chmodSync(this.#cursor.path(...splitPath(at)), 0o755);
    }
  }
}

function isAbsent(error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO', 'EXDEV'].includes(errorCode(error) ?? '');
}

function linkInTheWay(path: string): OverdubError {
  return new OverdubError(
    'IMAGE_INVALID',
    `/${path} of the image is not a directory of its own; nothing is written through it.`,
    'Make it a directory in the master and import it again.',
  );
}
