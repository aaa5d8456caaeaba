/** A walk over directories in manifest order that holds one open handle a level. */

import { closeSync, mkdirSync } from 'node:fs';
import { openDirectoryAt, within } from './beneath.ts';
import { errorCode } from './libc.ts';
import { fsPath, toRaw } from './names.ts';

interface Level {
  readonly name: string;
  readonly fd: number;
}

/** Gives safe paths below a root. Consecutive calls for neighbours cost nothing. Close after use. */
export class TreeCursor {
  readonly #rootFd: number;
  readonly #leave: (fd: number) => void;
  #levels: Level[] = [];

  /** `rootFd` stays the caller's. `leave` is told of handles that are to be closed. */
  constructor(rootFd: number, leave: (fd: number) => void = closeSync) {
    this.#rootFd = rootFd;
    this.#leave = leave;
  }

  /** Open handle on a directory; ENOENT when it is missing, ENOTDIR or ELOOP when it is none. Valid until the next call. */
  directory(path: string): number {
    const names = namesOf(path);
    const shared = this.#shared(names);
    this.#truncate(shared);
    for (const name of names.slice(shared)) {
      this.#levels.push({ name, fd: openDirectoryAt(this.#top(), toRaw(name)) });
    }
    return this.#top();
  }

  /** Path (raw) of an entry, through its parent's handle. Valid until the next call. */
  path(parent: string, name: string): string {
    return within(this.directory(parent), toRaw(name));
  }

  /** Makes a directory and its parents (mode 0700 until somebody sets it); existing ones are left. */
  ensureDirectory(path: string): void {
    const names = namesOf(path);
    // What is open is there.
    for (let depth = this.#shared(names); depth < names.length; depth++) {
      const parent = names.slice(0, depth).join('/');
      try {
        mkdirSync(fsPath(this.path(parent, names[depth] as string)), 0o700);
      } catch (error) {
        if (errorCode(error) !== 'EEXIST') throw error;
      }
    }
  }

  /** Forgets handles at and below `path`: it is about to be removed or replaced. */
  forget(path: string): void {
    const names = namesOf(path);
    if (names.every((name, depth) => this.#levels[depth]?.name === name)) this.#truncate(names.length - 1);
  }

  close(): void {
    this.#truncate(0);
  }

  /** How many of these levels are open. */
  #shared(names: readonly string[]): number {
    let shared = 0;
    while (shared < names.length && this.#levels[shared]?.name === names[shared]) shared++;
    return shared;
  }

  #top(): number {
    return this.#levels.at(-1)?.fd ?? this.#rootFd;
  }

  #truncate(length: number): void {
    for (const level of this.#levels.splice(length)) this.#leave(level.fd);
  }
}

function namesOf(path: string): readonly string[] {
  return path === '' ? [] : path.split('/');
}
