/** Our loader for xdelta3's WebAssembly: memory as large as the work needs, every allocation checked. */

import { brotliDecompressSync } from 'node:zlib';
import { PACKED_WASM } from './wasm-bytes.ts';

/** The part of the JavaScript API that is used; @types/node declares only its types. */
declare const WebAssembly: {
  compile(bytes: Uint8Array): Promise<WebAssembly.Module>;
  instantiate(module: WebAssembly.Module, imports: object): Promise<{ readonly exports: object }>;
};

const PAGE_BYTES = 65536;
/** The smallest and largest memory of an instance, in pages: 32 MiB and 2 GiB. */
const MIN_PAGES = 512;
const MAX_PAGES = 32768;
const MEMORY_SECTION = 5;

/** `xdelta3.h`: write a checksum of each window. Without it damaged deltas decode to wrong bytes. */
const FLAG_ADLER32 = 1 << 10;
const LEVEL_SHIFT = 20;

/** A region of an instance's memory. */
export interface Placed {
  readonly pointer: number;
  readonly length: number;
}

export const NOTHING: Placed = { pointer: 0, length: 0 };

interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer };
  _initialize(): void;
  malloc(bytes: number): number;
  free(pointer: number): void;
  xd3_strerror(code: number): number;
  xd3_encode_memory(...args: number[]): number;
  xd3_decode_memory(...args: number[]): number;
}

/** Makes instances; compiles once for each memory size. */
export class XdeltaLoader {
  readonly #modules = new Map<number, Promise<WebAssembly.Module>>();

  /** A fresh instance with room for `bytes`; it serves one operation and is dropped, also after a failure. */
  async load(bytes: number): Promise<Xdelta> {
    const pages = pagesFor(bytes);
    let module = this.#modules.get(pages);
    if (module === undefined) {
      module = WebAssembly.compile(withMemoryPages(wasmBytes(), pages));
      this.#modules.set(pages, module);
    }
    const instance = await WebAssembly.instantiate(await module, {});
    return new Xdelta(instance.exports as unknown as Exports);
  }
}

/** One instance. Not usable any more after a call threw. */
export class Xdelta {
  readonly #exports: Exports;

  constructor(exports: Exports) {
    this.#exports = exports;
    exports._initialize();
  }

  /** Copies bytes in; they stay until {@link Xdelta.release}. */
  place(bytes: Uint8Array): Placed {
    const placed = this.#allocate(bytes.length);
    new Uint8Array(this.#exports.memory.buffer, placed.pointer, bytes.length).set(bytes);
    return placed;
  }

  release(placed: Placed): void {
    if (placed.pointer !== 0) this.#exports.free(placed.pointer);
  }

  /** A VCDIFF of one window; `level` 1 to 9 as on xdelta3's command line. */
  encode(target: Uint8Array, source: Placed, level: number): Uint8Array {
    const flags = FLAG_ADLER32 | (level << LEVEL_SHIFT);
    return this.#run('xd3_encode_memory', target, source, deltaRoom(target.length), flags);
  }

  /** Undoes {@link Xdelta.encode}; the output cannot pass `targetBytes`. */
  decode(delta: Uint8Array, source: Placed, targetBytes: number): Uint8Array {
    return this.#run('xd3_decode_memory', delta, source, targetBytes, 0);
  }

  #run(
    name: 'xd3_encode_memory' | 'xd3_decode_memory',
    input: Uint8Array,
    source: Placed,
    room: number,
    flags: number,
  ): Uint8Array {
    const from = this.place(input);
    const to = this.#allocate(room);
    const size = this.#allocate(4);
    const code = this.#exports[name](
      from.pointer,
      from.length,
      source.length === 0 ? 0 : source.pointer,
      source.length,
      to.pointer,
      size.pointer,
      room,
      flags,
    );
    if (code !== 0) throw new Error(this.#message(code));
    const view = new DataView(this.#exports.memory.buffer);
    const output = new Uint8Array(
      this.#exports.memory.buffer,
      to.pointer,
      view.getUint32(size.pointer, true),
    );
    const copy = output.slice();
    for (const placed of [from, to, size]) this.release(placed);
    return copy;
  }

  #allocate(length: number): Placed {
    // malloc(0) may answer 0, which xdelta3 takes for "no buffer".
    const pointer = this.#exports.malloc(Math.max(1, length));
    if (pointer === 0) throw new Error(`xdelta3 has no room for ${length} more bytes`);
    return { pointer, length };
  }

  #message(code: number): string {
    if (code === 48) return 'xdelta3 ran out of its memory';
    if (code === 51) return 'the result is larger than it may be';
    const bytes = new Uint8Array(this.#exports.memory.buffer);
    const start = this.#exports.xd3_strerror(code);
    const end = start === 0 ? 0 : bytes.indexOf(0, start);
    const text = start === 0 ? 'unknown error' : Buffer.from(bytes.subarray(start, end)).toString('latin1');
    return `xdelta3 error ${code}: ${text}`;
  }
}

/** Most that a delta of a target of this length can take. */
export function deltaRoom(targetBytes: number): number {
  return targetBytes + Math.ceil(targetBytes / 16) + 4096;
}

/** Memory to encode one window: its parts, hash tables of 4 bytes a position, instruction buffers. */
export function encodeMemory(targetBytes: number, sourceBytes: number): number {
  const tables = 4 * (4 * powerOfTwo(targetBytes) + 2 * powerOfTwo(sourceBytes));
  return tables + 2 * deltaRoom(targetBytes) + 2 * targetBytes + sourceBytes + 16 * PAGE_BYTES * 16;
}

/** Memory to decode one window of `targetBytes` from `deltaBytes`. */
export function decodeMemory(targetBytes: number, sourceBytes: number, deltaBytes: number): number {
  return 3 * targetBytes + sourceBytes + 3 * deltaBytes + 16 * PAGE_BYTES * 4;
}

function powerOfTwo(value: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(value, 1)));
}

function pagesFor(bytes: number): number {
  const pages = Math.max(MIN_PAGES, powerOfTwo(Math.ceil(bytes / PAGE_BYTES)));
  if (pages > MAX_PAGES) throw new Error(`xdelta3 would need ${bytes} bytes of memory, more than 2 GiB`);
  return pages;
}

function wasmBytes(): Uint8Array {
  return brotliDecompressSync(Buffer.from(PACKED_WASM, 'base64'));
}

/** Rewrites the memory section (WebAssembly core §5.5.8): the package fixes its memory at 16 MiB. */
export function withMemoryPages(wasm: Uint8Array, pages: number): Uint8Array<ArrayBuffer> {
  let at = 8;
  while (at < wasm.length) {
    const start = at;
    const id = wasm[at] as number;
    const length = unsigned(wasm, at + 1);
    at = length.next + length.value;
    if (id !== MEMORY_SECTION) continue;
    const limits = [...leb128(pages), ...leb128(pages)];
    const section = [MEMORY_SECTION, ...leb128(limits.length + 2), 1, 1, ...limits];
    const joined = Buffer.concat([wasm.subarray(0, start), Uint8Array.from(section), wasm.subarray(at)]);
    return new Uint8Array(joined);
  }
  throw new Error('the xdelta3 module has no memory section');
}

function unsigned(bytes: Uint8Array, from: number): { readonly value: number; readonly next: number } {
  let value = 0;
  for (let at = from, shift = 0; ; at++, shift += 7) {
    const byte = bytes[at] as number;
    value |= (byte & 127) << shift;
    if (byte < 128) return { value: value >>> 0, next: at + 1 };
  }
}

function leb128(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = value; ; rest >>>= 7) {
    if (rest < 128) return [...bytes, rest];
    bytes.push((rest & 127) | 128);
  }
}
