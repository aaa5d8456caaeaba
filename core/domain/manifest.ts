/** A manifest lists the entries of an image; contents are stored apart from it, as chunks. */

/** Lower-case hex SHA-256. */
export type Digest = string;

export type EntryType = 'directory' | 'file' | 'symlink' | 'hardlink' | 'character' | 'block' | 'fifo';

/** A piece of content, cut by content. `bytes` ≤ 8 MiB. */
export interface ChunkRef {
  readonly digest: Digest;
  readonly bytes: number;
}

/** The content of a regular file: its whole digest, its length, and the chunks it is made of, in order. */
export interface ContentRef {
  readonly digest: Digest;
  readonly bytes: number;
  /** Empty only for an empty file. A file of one chunk has one whose digest equals `digest`. */
  readonly chunks: readonly ChunkRef[];
}

/**
 * One entry of an image. `path` is relative with `/` separators, no leading `/`, no `.` or `..`
 * components; the root directory itself is `''`. Bytes that are not UTF-8 are kept as lone
 * surrogates U+DC80…U+DCFF (see path.ts).
 */
export interface Entry {
  readonly path: string;
  readonly type: EntryType;
  /** Permission bits with set-id and sticky, 0…0o7777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Modification time, decimal nanoseconds since the epoch (a string: beyond 2^53). */
  readonly mtimeNs: string;
  /** Regular files only. */
  readonly content?: ContentRef;
  /** Regular files only: long zero runs are holes and are restored as such. */
  readonly sparse?: true;
  /** Symbolic link: the target, as is. Hard link: the path of the first entry of the group. */
  readonly target?: string;
  /** Device nodes. */
  readonly device?: { readonly major: number; readonly minor: number };
  /** Extended attributes (ACLs and capabilities included), name → base64 value. Absent when none. */
  readonly xattrs?: Readonly<Record<string, string>>;
}

/** The root of a stored manifest. Equal images have equal roots. */
export interface ManifestRef {
  readonly root: Digest;
  readonly entries: number;
  /** Sum of the regular files' logical lengths, hard links counted once. */
  readonly bytes: number;
}

/** Something that a scan left out, and why. */
export interface SkippedPath {
  readonly path: string;
  readonly reason:
    | 'excluded'
    | 'socket'
    | 'other-filesystem'
    | 'pseudo-filesystem'
    | 'vanished'
    | 'changing'
    | 'unreadable';
}
