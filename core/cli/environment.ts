import type { ApplianceConfig } from '../contracts/config.ts';

/** What the command line gets from the process around it; tests give their own. */
export interface Environment {
  readonly cwd: string;
  readonly variables: Readonly<Record<string, string | undefined>>;
  /** Standard output, unbuffered text. */
  out(text: string): void;
  /** Standard output, bytes; resolves when more may be written. */
  outBytes(bytes: Uint8Array): Promise<void>;
  /** Standard error. */
  err(text: string): void;
  /** Standard error is a terminal: progress may redraw its line. */
  readonly interactive: boolean;
  /** Aborts at SIGINT or SIGTERM. */
  readonly signal: AbortSignal;
  now(): number;
  /** The configuration when there is no file; absent for bare `@overdub/core`. */
  readonly defaults?: () => Promise<ApplianceConfig>;
}
