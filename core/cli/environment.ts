import type { AgentBundle } from '../contracts/agent-bundle.ts';
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
  /** Where this very command line's program may be kept; absent where it has none, or runs from sources anyway. */
  readonly programs?: Programs;
}

/** Keeps the agent's bundle, so that commands which are part of it start without a configuration being loaded. */
export interface Programs {
  /** True once the bundle is in place for this command line; false where nothing can be kept. */
  keep(bundle: AgentBundle): Promise<boolean>;
  /** Starts this command line anew, now from the bundle: in this process's place, or as its child. The exit code. */
  start(): Promise<number>;
}
