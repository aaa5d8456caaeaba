/** A line of a record as its text: most lines are found as they were, and then nothing of them need be parsed. */

import type { Entry, FileStamp, FoundEntry } from '@overdub/core/agent';

/** The text that the line of a path begins with; JSON has one spelling of a string. */
export function headOfLine(path: string): string {
  return `{"entry":{"path":${JSON.stringify(path)},`;
}

/** Counts as a record's line that was kept: it says nothing of what was changed when it was written. */
export class HeldLine {
  readonly kept = true;
  readonly #text: string;
  readonly #head: string;
  #parsed: { readonly entry: Entry; readonly stamp?: FileStamp } | undefined;

  /** `head`: see {@link headOfLine}. */
  constructor(text: string, head: string) {
    this.#text = text;
    this.#head = head;
  }

  get entry(): Entry {
    return this.#line().entry;
  }

  get stamp(): FileStamp | undefined {
    return this.#line().stamp;
  }

  /** Is what was found now the same inode with the same times, so that nothing of it has changed? */
  isStill(found: FoundEntry): boolean {
    // Equal text is an equal stamp; other text may be one of another device number, or be followed by something.
    const plain = found.target === undefined && this.#text.endsWith(`,"stamp":${stampText(found.stamp)}}`);
    return (
      (plain && this.#text.startsWith(`"type":"${found.type}",`, this.#head.length)) || this.#equals(found)
    );
  }

  #equals({ type, stamp, target }: FoundEntry): boolean {
    const known = this.stamp;
    return (
      known !== undefined &&
      this.entry.type === type &&
      (target === undefined || this.entry.target === target) &&
      stamp.ctimeNs === known.ctimeNs &&
      stamp.mtimeNs === known.mtimeNs &&
      stamp.inode === known.inode &&
      stamp.size === known.size
    );
  }

  #line() {
    this.#parsed ??= JSON.parse(this.#text) as { entry: Entry; stamp?: FileStamp };
    return this.#parsed;
  }
}

/** As `JSON.stringify` writes it; all strings are decimal numbers. */
function stampText({ size, mtimeNs, ctimeNs, inode, device }: FileStamp): string {
  return `{"size":${size},"mtimeNs":"${mtimeNs}","ctimeNs":"${ctimeNs}","inode":"${inode}","device":"${device}"}`;
}
