/** Tag-length-value lists: DHCP options and the sub-options inside 43, 82 and 175. Total: no input throws. */

import { OPTION } from './codes.ts';

/** Option code → value. Instances of one code are joined (RFC 3396). */
export type Options = ReadonlyMap<number, Uint8Array>;

/** What was readable, and why reading stopped early if it did. */
export interface DecodedOptions {
  readonly options: Options;
  readonly problem: string | undefined;
}

/** Collects options over several fields, so that long options split among them are joined in order (RFC 3396 §7). */
export class OptionCollector {
  readonly #parts = new Map<number, Uint8Array[]>();
  #problem: string | undefined;

  /** Reads one field up to its end mark. A length that runs past the field ends the reading with a problem. */
  read(field: Uint8Array): void {
    for (let at = 0; at < field.length; ) {
      const code = field[at] as number;
      if (code === OPTION.end) return;
      if (code === OPTION.pad) {
        at += 1;
        continue;
      }
      const length = field[at + 1];
      if (length === undefined || at + 2 + length > field.length) {
        this.#problem ??= `option ${code} runs past the end of its field`;
        return;
      }
      const parts = this.#parts.get(code) ?? [];
      parts.push(field.subarray(at + 2, at + 2 + length));
      this.#parts.set(code, parts);
      at += 2 + length;
    }
  }

  /** The first value seen so far of a code, unjoined. */
  first(code: number): Uint8Array | undefined {
    return this.#parts.get(code)?.[0];
  }

  finish(): DecodedOptions {
    const options = new Map<number, Uint8Array>();
    for (const [code, parts] of this.#parts) {
      options.set(code, Uint8Array.from(parts.length === 1 ? (parts[0] as Uint8Array) : joined(parts)));
    }
    return { options, problem: this.#problem };
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(parts);
}

/** Reads one list of options or sub-options. */
export function decodeOptions(field: Uint8Array): DecodedOptions {
  const collector = new OptionCollector();
  collector.read(field);
  return collector.finish();
}

/** One option, in as many instances of at most 255 bytes as its value needs (RFC 3396 §5). */
export function encodeOption(code: number, value: Uint8Array): Uint8Array {
  const parts: Uint8Array[] = [];
  for (let at = 0; at === 0 || at < value.length; at += 255) {
    const piece = value.subarray(at, at + 255);
    parts.push(Uint8Array.of(code, piece.length), piece);
  }
  return joined(parts);
}

/** A list of sub-options, closed by an end mark unless `end` is false (option 82 has none, RFC 3046 §2). */
export function encodeSubOptions(
  entries: Iterable<readonly [number, Uint8Array]>,
  { end = true }: { readonly end?: boolean } = {},
): Uint8Array {
  const parts = [...entries].map(([code, value]) => encodeOption(code, value));
  return joined(end ? [...parts, Uint8Array.of(OPTION.end)] : parts);
}
