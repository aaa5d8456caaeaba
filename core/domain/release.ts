/** Memory that goes back before the garbage collector comes by. */

/** Larger than any pool that Node cuts small buffers from; below it, collecting costs little. */
const LARGE_BYTES = 256 * 1024;

/**
 * Frees the buffer behind these bytes at once, where it is large: every view of it is empty from then on. V8 counts the
 * bytes behind buffers, and marks the whole heap for each 30 to 60 MiB of them; what is freed here counts no more, and
 * does not lie around until then.
 *
 * Only for who made the whole buffer, gave no view of it away that is still needed, and waits for nothing that reads or
 * writes it: a system call or a compressor under way would touch freed memory.
 */
export function release({ buffer }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength >= LARGE_BYTES) buffer.transfer(0);
}

/**
 * The bytes by themselves, to be kept for long: a view of a buffer more than twice as long is copied, since it would
 * keep all of that alive, whatever it weighs in a cache. A chunk is a view of its frame, which may be 16 MiB.
 */
export function alone(bytes: Uint8Array): Uint8Array {
  return bytes.buffer.byteLength > 2 * bytes.length ? new Uint8Array(bytes) : bytes;
}

/**
 * Has the collector come by now, where the process was given leave (`--expose-gc`, as `overdub` starts it): many megabytes
 * of buffers have just become garbage that V8 would let lie until as many more are made. Some 50 ms for a heap of 30 MiB, on
 * all its threads: once for a piece of work, not once for each of its parts.
 */
export function collectNow(): void {
  globalThis.gc?.();
}

/** So many bytes of large buffers pass before the memory of making them is collected: one of the largest at most. */
const PASSED_BYTES = 4 * 1024 * 1024;

/**
 * Has the collector look at what was made since it last came by, each time so many bytes have passed: a millisecond, where a
 * few large buffers are behind few objects, and V8 sees no reason to look. Without leave (see {@link collectNow}) it counts only.
 */
export class PassedBytes {
  readonly #limit: number;
  #bytes = 0;

  constructor(limit: number = PASSED_BYTES) {
    this.#limit = limit;
  }

  /** So many bytes were made, used, and let go of. */
  add(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes < this.#limit) return;
    this.#bytes = 0;
    globalThis.gc?.({ type: 'minor', execution: 'sync' });
  }
}
