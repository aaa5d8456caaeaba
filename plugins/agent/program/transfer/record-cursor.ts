import { comparePaths, type FoundEntry } from '@overdub/core/agent';
import { HeldLine, headOfLine } from './held-line.ts';
import { type RecordLine, readTexts } from './record.ts';

/** Walks a record alongside another listing in manifest order. Close it. */
export class RecordCursor {
  readonly #blocks: Generator<string[]>;
  #block: readonly string[] = [];
  #at = 0;
  /** Path of the line that waits at `#at`, once it was parsed for it. */
  #waiting: string | undefined;
  #line: HeldLine | undefined;
  #path: string | undefined;

  constructor(path: string) {
    this.#blocks = readTexts(path);
  }

  /** What was asked for last, and the line there. */
  get path(): string | undefined {
    return this.#path;
  }

  get line(): HeldLine | undefined {
    return this.#line;
  }

  /** The line at `path`, if there is one. Paths must be asked for in manifest order, the last one as often as wanted. */
  seek(path: string): HeldLine | undefined {
    if (path !== this.#path) this.#line = this.#lineAt(path);
    this.#path = path;
    return this.#line;
  }

  /** The line at `path`, if it is of what was found there now. */
  still(path: string, found: FoundEntry): HeldLine | undefined {
    const line = this.seek(path);
    return line?.isStill(found) === true ? line : undefined;
  }

  close(): void {
    this.#blocks.return(undefined);
  }

  #lineAt(path: string): HeldLine | undefined {
    const head = headOfLine(path);
    for (let text = this.#text(); text !== undefined; text = this.#text()) {
      if (text.startsWith(head)) return new HeldLine(text, head);
      this.#waiting ??= (JSON.parse(text) as RecordLine).entry.path;
      if (comparePaths(this.#waiting, path) > 0) return undefined;
      this.#at += 1;
      this.#waiting = undefined;
    }
    return undefined;
  }

  /** The line that waits; undefined at the end. */
  #text(): string | undefined {
    while (this.#at === this.#block.length) {
      const next = this.#blocks.next();
      if (next.done === true) return undefined;
      this.#block = next.value;
      this.#at = 0;
    }
    return this.#block[this.#at];
  }
}
