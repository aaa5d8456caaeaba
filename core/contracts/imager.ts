/** The driver that reads and writes images on a machine. Runs in the agent: ramdisk, server, or `--root DIR`. */

import type { MachineFacts } from '../domain/machine.ts';
import type { ContentRef, Entry, SkippedPath } from '../domain/manifest.ts';
import type { ServerIdentity } from '../domain/server.ts';
import type { RandomReader } from './delta-codec.ts';

/** Stat fields that tell whether a file changed. Decimal strings where they exceed 2^53. */
export interface FileStamp {
  readonly size: number;
  readonly mtimeNs: string;
  readonly ctimeNs: string;
  readonly inode: string;
  readonly device: string;
}

/** A file of a tree, open for reading; its length is that of the moment it was opened. Close after use. */
export interface TreeFile extends RandomReader {
  /** As it is now. */
  stamp(): FileStamp | Promise<FileStamp>;
  close(): void | Promise<void>;
}

/** Opens one file of a tree after another. Whatever can be had without waiting should be: a tree has many small files. */
export interface TreeReader {
  /**
   * Random access to a file's bytes, never following a symbolic link. Throws or rejects with the system's error (`ENOENT`), or
   * INPUT_INVALID for what is no regular file.
   */
  open(path: string): TreeFile | Promise<TreeFile>;
  /** What was opened stays open, but nothing can be opened any more. May be called again. */
  close(): void;
}

/** An entry as scanned: metadata complete, content not read. */
export interface ScannedEntry {
  readonly entry: Omit<Entry, 'content'>;
  /** Absent for what was never looked at, such as a directory under a foreign mount. */
  readonly stamp?: FileStamp | undefined;
}

/** What a scan finds at a path before it reads more than the inode. */
export interface FoundEntry {
  readonly type: Entry['type'];
  readonly stamp: FileStamp;
  /** Of hard links: the first path of the group. */
  readonly target?: string;
}

export interface ScanOptions {
  readonly excludes: readonly string[];
  readonly onSkip: (skipped: SkippedPath) => void;
  readonly signal: AbortSignal;
  /** Only these paths and what is below them; default everything. */
  readonly only?: readonly string[];
  /**
   * What an earlier scan found at a path, if that is still what is found now; asked in manifest order. While an inode has
   * its stamp, nothing of its metadata has changed (every change sets ctime): extended attributes and link targets need
   * not be read, and the very object is given back.
   */
  readonly known?: (path: string, found: FoundEntry) => ScannedEntry | undefined;
}

export interface ApplyOptions {
  readonly signal: AbortSignal;
  readonly onProgress: (doneBytes: number) => void;
  /** Paths (and what is below) left as they are. */
  readonly keep?: readonly string[];
  readonly only?: readonly string[];
  /** Paths excluded from snapshots: neither deleted nor written. */
  readonly excludes: readonly string[];
  readonly dryRun?: boolean;
  /** A filesystem made for this, or an empty directory: nobody reads it before the end, and files need not appear whole. */
  readonly blank?: boolean;
  /** Whoever asks has some 20 MiB to spare for another thread, where that makes it faster. */
  readonly mayUseThread?: boolean;
  /**
   * Told of each regular file that was written, in the target's order: its path, and its stamp once it is in place with its
   * metadata. Not of one that is another than the target's by then: somebody else writes to it.
   */
  readonly onFile?: (path: string, stamp: FileStamp) => void;
}

export interface ApplyResult {
  readonly written: number;
  readonly removed: number;
  readonly metadataOnly: number;
  readonly writtenBytes: number;
  /** First thousand changed paths with what was done. */
  readonly changes: readonly { readonly path: string; readonly action: 'write' | 'remove' | 'metadata' }[];
}

/** Bytes of a content. */
export interface ContentStream extends AsyncIterable<Uint8Array> {
  /** Whoever gives them compares them, chunk by chunk or whole, and gives none that differ. */
  readonly verified?: boolean;
  /** All of them, where they need not be waited for: good until the next content is opened. Then nothing need be iterated. */
  readonly atHand?: Uint8Array;
}

/** Gives contents to {@link Imager.apply}; it announces what it will ask for, in order, so that fetching streams. */
export interface ContentSource {
  /** Bytes of a content. `present` is what lies at the path now, a possible delta base. */
  open(
    content: ContentRef,
    present?: { readonly content: ContentRef; readonly reader: RandomReader },
  ): ContentStream;
  /** Upcoming contents in the order they will be opened. */
  announce(contents: readonly ContentRef[]): void;
}

export interface Imager {
  /** `tree`. */
  readonly kind: string;
  /** Entries in manifest order. Crosses into every local disk-backed filesystem below the root. */
  scan(root: string, options: ScanOptions): AsyncIterable<ScannedEntry>;
  /** For files below `root`, where it leads to now. INPUT_INVALID when it is no directory. Close after use. */
  openTree(root: string): TreeReader;
  /**
   * Makes `root` equal to `target`. `present` is what is there now, hashed (manifest order). Deletes before it
   * writes; each file is replaced atomically (but for `blank`); extended attributes last; directory times at the end.
   * Idempotent: interrupted anywhere, run again, same end.
   */
  apply(
    root: string,
    target: AsyncIterable<Entry>,
    present: AsyncIterable<Entry>,
    contents: ContentSource,
    options: ApplyOptions,
  ): Promise<ApplyResult>;
  /** Feature: machines with disks of their own (ramdisk only). */
  readonly disks?: DiskFeature;
}

/** What a machine's disk must become. */
export interface DiskPlan {
  readonly identity: ServerIdentity;
  /** Bytes the image needs, with headroom; smaller disks are DISK_UNSUITABLE. */
  readonly neededBytes: number;
  /** Serial or WWN recorded at first install; absent: choose (smallest sufficient non-removable). */
  readonly pin?: string;
  /** Names of disks that are not chosen. */
  readonly avoid?: readonly string[];
}

export interface PreparedDisk {
  /** /dev path of the disk, and its pin (serial, WWN or path-id). */
  readonly device: string;
  readonly pin: string;
  readonly bytes: number;
  /** Where the root is mounted. The ESP is mounted at `espMount`, outside the root. */
  readonly rootMount: string;
  readonly espMount: string;
}

export interface DiskFeature {
  /** CPU, memory, disks, NICs, DMI, firmware kind of this machine. */
  facts(): Promise<MachineFacts>;
  /** Partitions (GPT: BIOS boot, ESP, root) and makes filesystems, then mounts. Destroys what is there. */
  prepare(plan: DiskPlan, signal: AbortSignal): Promise<PreparedDisk>;
  /** Finds and mounts a disk prepared earlier, by the server's root UUID. */
  open(identity: ServerIdentity, signal: AbortSignal): Promise<PreparedDisk>;
  /** Fresh machine-id, host name, host keys, fstab: once, for a new server made from a master. */
  personalize(disk: PreparedDisk, identity: ServerIdentity): Promise<void>;
  /** What belongs to the machine: interface binding, ESP, bootloader for both firmware kinds, boot order. Idempotent. */
  render(disk: PreparedDisk, identity: ServerIdentity, facts: MachineFacts): Promise<void>;
  /** Syncs and unmounts. */
  close(disk: PreparedDisk): Promise<void>;
}
