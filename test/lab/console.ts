import { readFileSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

// biome-ignore lint/suspicious/noControlCharactersInRegex: terminal control sequences begin with ESC
const CONTROL_SEQUENCES = /\x1b\[[0-9;?]*[A-Za-z]|\r/g;

/** What a machine prints on its serial console, kept in a file across power cycles. */
export class SerialConsole {
  readonly file: string;
  #since = 0;

  constructor(file: string) {
    this.file = file;
  }

  /** From here on counts as new: called when the machine is switched on or reset. */
  mark(): void {
    this.#since = statSync(this.file, { throwIfNoEntry: false })?.size ?? 0;
  }

  /** Text since the last mark, without terminal control sequences. */
  text(): string {
    try {
      return readFileSync(this.file).subarray(this.#since).toString('latin1').replace(CONTROL_SEQUENCES, '');
    } catch {
      return '';
    }
  }

  /**
   * Resolves with the first match since the last mark. Rejects when the signal aborts, or when `ended` tells that
   * nothing more will come; both name what was last on the console.
   */
  async waitFor(
    pattern: RegExp,
    options: { readonly signal: AbortSignal; readonly ended?: () => boolean },
  ): Promise<RegExpExecArray> {
    for (;;) {
      const over = options.ended?.() ?? false;
      const match = pattern.exec(this.text());
      if (match !== null) return match;
      if (over) throw new Error(`the machine is off and never printed ${pattern}; last:\n${this.tail()}`);
      try {
        await sleep(250, undefined, { signal: options.signal });
      } catch (cause) {
        throw new Error(`gave up waiting for ${pattern} on the console; last:\n${this.tail()}`, { cause });
      }
    }
  }

  /** The last lines. */
  tail(lines = 25): string {
    return this.text().trimEnd().split('\n').slice(-lines).join('\n');
  }
}
