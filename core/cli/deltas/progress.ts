/** A line on the terminal that shows how far a file's work is. */

import type { Call } from '../command.ts';
import { bar, duration } from '../format.ts';

const REDRAW_MS = 100;

/** What work on files reports to. */
export interface FileProgress {
  readonly onProgress: (done: number, total: number) => void;
  /** Removes the line. Idempotent. */
  end(): void;
}

/** Nothing is drawn where standard error is no terminal. */
export function fileProgress({ environment }: Call, what: string): FileProgress {
  const began = environment.now();
  let drawnAt = 0;
  return {
    onProgress(done, total) {
      const now = environment.now();
      if (!environment.interactive || now - drawnAt < REDRAW_MS) return;
      drawnAt = now;
      environment.err(`\r\u001b[K${what} ${bar(done, total)} ${duration(now - began)}`);
    },
    end() {
      if (drawnAt > 0) environment.err('\r\u001b[K');
      drawnAt = 0;
    },
  };
}
