/** Which transfer options are granted, and what is said of them in the option acknowledgement. */

export interface TransferLimits {
  /** Largest block: what one datagram of the path's MTU carries. */
  readonly maxBlockBytes: number;
  readonly maxWindow: number;
  /** First wait for an acknowledgement when the client asks for no `timeout`, in ms. */
  readonly retryMs: number;
}

export interface TransferTerms {
  readonly blockBytes: number;
  /** Blocks in flight (RFC 7440). */
  readonly window: number;
  readonly retryMs: number;
  /** Empty: the client asked for nothing we know, so data follows at once. */
  readonly granted: ReadonlyMap<string, string>;
}

/** What is in flight or read ahead for one client stays below this many bytes. */
const WINDOW_BYTES = 512 * 1024;
const DEFAULT_BLOCK = 512;

/**
 * Grants blksize (RFC 2348), tsize and timeout (RFC 2349), windowsize (RFC 7440). Values out of their range
 * and unknown options are left out of the answer, as RFC 2347 asks; too large ones are lowered, never raised.
 */
export function negotiate(
  options: ReadonlyMap<string, string>,
  fileBytes: number,
  limits: TransferLimits,
): TransferTerms {
  const granted = new Map<string, string>();
  const blksize = integer(options.get('blksize'), 8, 65464);
  const blockBytes = Math.min(blksize ?? DEFAULT_BLOCK, limits.maxBlockBytes);
  const asked = integer(options.get('windowsize'), 1, 65535);
  const room = Math.max(1, Math.floor(WINDOW_BYTES / blockBytes));
  const window = Math.min(asked ?? 1, limits.maxWindow, room);
  const timeout = integer(options.get('timeout'), 1, 255);
  for (const option of options.keys()) {
    if (option === 'blksize' && blksize !== undefined) granted.set(option, String(blockBytes));
    if (option === 'tsize') granted.set(option, String(fileBytes));
    if (option === 'windowsize' && asked !== undefined) granted.set(option, String(window));
    if (option === 'timeout' && timeout !== undefined) granted.set(option, String(timeout));
  }
  return { blockBytes, window, retryMs: timeout === undefined ? limits.retryMs : timeout * 1000, granted };
}

function integer(text: string | undefined, low: number, high: number): number | undefined {
  if (text === undefined || !/^\d{1,9}$/.test(text)) return undefined;
  const value = Number(text);
  return value >= low && value <= high ? value : undefined;
}
