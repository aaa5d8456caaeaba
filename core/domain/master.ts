import type { Arch } from './machine.ts';
import type { ManifestRef } from './manifest.ts';

/** A named, versioned, immutable prototype. Written `web@3`. */
export interface Master {
  readonly name: string;
  readonly version: number;
  readonly kind: 'tree';
  readonly arch: Arch;
  readonly manifest: ManifestRef;
  /** Newest kernel found in the image, relative paths; absent when the image cannot boot. */
  readonly kernel?: { readonly version: string; readonly image: string; readonly initrd: string };
  readonly importedAt: string;
  /** Where it came from, for people. */
  readonly source: string;
}

export interface MasterRef {
  readonly name: string;
  readonly version: number;
}

/** `web@3` → reference; `web` → version undefined (the newest). `undefined` if malformed. */
export function parseMasterName(text: string): { name: string; version?: number } | undefined {
  const match = /^([a-z0-9][a-z0-9._-]{0,62})(?:@([1-9][0-9]{0,8}))?$/.exec(text);
  if (match === null) return undefined;
  return { name: match[1] as string, ...(match[2] === undefined ? {} : { version: Number(match[2]) }) };
}

export function formatMaster(ref: MasterRef): string {
  return `${ref.name}@${ref.version}`;
}
