/** Names on the way to and from system calls: Latin-1 strings hold one byte a character and sort as bytes. */

import { decodeName, encodeName } from '@overdub/core/agent';

// biome-ignore lint/suspicious/noControlCharactersInRegex: ASCII is exactly this range.
const ASCII = /^[\x00-\x7f]*$/;

/** Raw bytes (Latin-1) → the name as manifests hold it. */
export function fromRaw(raw: string): string {
  return ASCII.test(raw) ? raw : decodeName(Buffer.from(raw, 'latin1'));
}

/** The name as manifests hold it → raw bytes (Latin-1). */
export function toRaw(name: string): string {
  return ASCII.test(name) ? name : encodeName(name).toString('latin1');
}

/** What Node's `fs` takes for a raw path: bytes, unless plain ASCII makes the string do. */
export function fsPath(raw: string): string | Buffer {
  return ASCII.test(raw) ? raw : Buffer.from(raw, 'latin1');
}

/** `a/b/c` → `['a/b', 'c']`; a name at the top has the parent `''`. */
export function splitPath(path: string): readonly [parent: string, name: string] {
  const cut = path.lastIndexOf('/');
  return cut < 0 ? ['', path] : [path.slice(0, cut), path.slice(cut + 1)];
}

/** Whether `path` is `top` or lies below it; `''` is above everything. */
export function isWithin(path: string, top: string): boolean {
  return top === '' || path === top || (path.startsWith(top) && path[top.length] === '/');
}
