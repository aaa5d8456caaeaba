/**
 * One binary-diff algorithm. Drivers throw raw errors; the core wraps once, bounds inputs, checks
 * digests before and after. A driver must refuse (throw), never return wrong bytes knowingly, never
 * allocate more than its inputs and `targetBytes` justify, and must not keep state between calls.
 */
export interface DeltaCodec {
  /** Stored with every delta: `rsync`, `xdelta`, `zstd`. Never reused for another format. */
  readonly name: string;
  /** Raised when the delta format changes; a codec decodes all versions it ever wrote. */
  readonly formatVersion: number;
  readonly limits: CodecLimits;
  /** Delta that makes `target` from `base`, both whole in memory (bounded windows). */
  encode(base: Uint8Array, target: Uint8Array, options?: EncodeOptions): Promise<Uint8Array>;
  /** Makes the target; rejects unless it comes out at exactly `targetBytes`. */
  decode(base: Uint8Array, delta: Uint8Array, options: DecodeOptions): Promise<Uint8Array>;
  /** Feature: deltas made from a signature, without the base at hand (rdiff). */
  readonly signatures?: SignatureFeature;
  /** Feature: whole files of any size in the field's own format (rdiff, VCDIFF, zstd --patch-from). */
  readonly files?: FileFeature;
}

export interface CodecLimits {
  /** Largest base and target of {@link DeltaCodec.encode}, bytes. */
  readonly maxBaseBytes: number;
  readonly maxTargetBytes: number;
}

export interface EncodeOptions {
  /** `fast` while a server waits, `small` when idle. */
  readonly effort?: 'fast' | 'small';
  readonly signal?: AbortSignal;
}

export interface DecodeOptions {
  readonly targetBytes: number;
  readonly formatVersion?: number;
  readonly signal?: AbortSignal;
}

/** Random access to bytes that may be larger than memory. Reads past the end return fewer bytes. */
export interface RandomReader {
  readonly bytes: number;
  /** `into`, of at least `length` bytes, is where the answer may lie: one buffer serves many reads. */
  read(offset: number, length: number, into?: Uint8Array): Promise<Uint8Array>;
  /**
   * Optional: fills `into` from `offset` on, where nothing has to be waited for; false, with `into` as it may be, where it has, or
   * there is less.
   */
  readNow?(offset: number, into: Uint8Array): boolean;
}

export interface SignatureFeature {
  /** Streams a signature of `source`. `blockBytes` is the block length; 0 lets the codec choose by `sourceBytes`. */
  sign(source: AsyncIterable<Uint8Array>, options: SignOptions): AsyncIterable<Uint8Array>;
  /** Loads signatures into one index over the concatenation of their bases (the virtual base). */
  index(signatures: readonly SignedBase[]): Promise<SignatureIndex>;
  /** Streams the delta of `target` against the virtual base. Memory stays flat with target size. */
  delta(
    index: SignatureIndex,
    target: AsyncIterable<Uint8Array>,
    signal?: AbortSignal,
  ): AsyncIterable<Uint8Array>;
  /**
   * Optional, instead of `delta`, `sign` and `append`: the delta of a target that is whole in memory, in pieces. A
   * target that `joins` becomes the end of the virtual base; only what the base lacks need be signed.
   */
  encode?(index: SignatureIndex, target: Uint8Array, options: TargetOptions): AsyncIterable<Uint8Array>;
  /**
   * Optional: what a delta is made of, in order, so that deltas of deltas can be put together without making what lies
   * between. Rejects what {@link SignatureFeature.patch} rejects. Literals may be views of `delta`.
   */
  parts?(delta: Uint8Array, options: PartsOptions): readonly DeltaPart[];
  /**
   * Optional, beside `parts`: the delta that is made of these, in the codec's present version. What was several parts may be one there.
   * The delta keeps no view of the parts' bytes.
   */
  compose?(parts: readonly DeltaPart[]): Uint8Array;
  /**
   * Applies a delta to the virtual base; rejects past `targetBytes`, on bad commands, on truncation. A piece is the
   * caller's from then on: nothing else reads or writes it.
   */
  patch(
    base: RandomReader,
    delta: AsyncIterable<Uint8Array>,
    options: DecodeOptions,
  ): AsyncIterable<Uint8Array>;
}

export interface PartsOptions extends DecodeOptions {
  /** Length of the virtual base: no copy reaches behind it. */
  readonly baseBytes: number;
}

/** A part of a target: bytes as they are, or a stretch of the virtual base. */
export type DeltaPart =
  | { readonly kind: 'literal'; readonly bytes: Uint8Array }
  | { readonly kind: 'copy'; readonly offset: number; readonly length: number };

export interface SignOptions {
  readonly sourceBytes: number;
  readonly blockBytes?: number;
  /**
   * What the source was before: where the weak sum of a block is still the same, its strong sum is taken over. A
   * changed block of equal weak sum (one in 2^32) makes the signature wrong, and a delta made from it is refused.
   */
  readonly previous?: SignedBase;
  /**
   * Optional, beside `previous`: called before the next piece of the source is asked for, with how many bytes, in whole
   * blocks, of the last one lie where they lay. A hint of where files are edited in place: nothing depends on its being right.
   */
  readonly onStayed?: (bytes: number) => void;
  readonly signal?: AbortSignal;
}

export interface TargetOptions {
  readonly joins: boolean;
  readonly inPlace?: InPlace;
  readonly signal?: AbortSignal;
}

/** A target that is part of a file, which itself was edited in place: what did not change need not be looked for. */
export interface InPlace {
  /** How what did not change is known. */
  readonly known: KnownInPlace;
  /** Where the target lies in the file. */
  readonly at: number;
  /** What the file was: its place among the signatures that the index was made of. */
  readonly base: number;
  /**
   * Copies from anywhere but the target's own place are worth it from so many bytes in a row, else literals: they tie the
   * target to what that place was made from. Undefined: all are.
   */
  readonly farBytes?: number;
}

/**
 * By the signature of the whole file as it is now, whose blocks are compared with the base's; or by the caller, who says
 * which parts of the target lie at the same place of the base. What is wrong makes a delta of other bytes.
 */
export type KnownInPlace =
  | { readonly signature: Uint8Array; readonly baseBytes: number }
  | { readonly stayed: readonly StayedRange[] };

/** [from, to) of a target. Ranges ascend and do not overlap. */
export interface StayedRange {
  readonly from: number;
  readonly to: number;
}

/** A signature and the exact length of the base it was made of. */
export interface SignedBase {
  readonly signature: Uint8Array;
  readonly baseBytes: number;
}

/** Opaque to callers; `bytes` is about what it holds in memory. */
export interface SignatureIndex {
  readonly bytes: number;
  /** Adds one more base at the end of the virtual base. */
  append(base: SignedBase): void;
}

/**
 * Whole-file functions on paths, in the field's own format; outputs are written to a temporary name, synced and
 * renamed, and appear whole or not at all. `overdub delta`, `patch` and `signature` are these.
 */
export interface FileFeature {
  readonly format: FileFormat;
  /** Content of the base is found wherever it moved; else only near its old place. */
  readonly seesWholeBase: boolean;
  /** Throws DELTA_TOO_LARGE when files of these lengths are not taken. Without it, any are. */
  assertFits?(baseBytes: number, targetBytes: number): void;
  delta(basePath: string, targetPath: string, deltaPath: string, options?: FileOptions): Promise<void>;
  patch(basePath: string, deltaPath: string, targetPath: string, options?: FileOptions): Promise<void>;
  /** Feature: deltas from a signature's file, the base not at hand. */
  readonly signatures?: FileSignatureFeature;
}

/** How the field calls a format, and how its files begin. */
export interface FileFormat {
  /** `rdiff delta`, `VCDIFF`: shown to people. */
  readonly title: string;
  /** First bytes of every file of it: what `overdub patch` knows it by. */
  readonly magic: Uint8Array;
  /** A damaged file, or a wrong base, is noticed by the format's own checksums. */
  readonly checksummed: boolean;
}

export interface FileOptions {
  readonly signal?: AbortSignal;
  /** Called often with how much of the work is done, in bytes of `total`; both may stay 0. */
  readonly onProgress?: (done: number, total: number) => void;
}

export interface FileSignatureFeature {
  readonly formats: readonly FileFormat[];
  /** What {@link FileSignOptions.sums} takes, the default first. */
  readonly sums: readonly SumsChoice[];
  sign(basePath: string, signaturePath: string, options?: FileSignOptions): Promise<void>;
  delta(signaturePath: string, targetPath: string, deltaPath: string, options?: FileOptions): Promise<void>;
}

/** The checksums of a signature, by name. */
export interface SumsChoice {
  readonly name: string;
  /** Why nobody should take them without need. */
  readonly warning?: string;
}

export interface FileSignOptions extends FileOptions {
  /** Block length; the codec chooses by default. */
  readonly blockBytes?: number;
  /** Which checksums the signature holds: a name of {@link FileSignatureFeature.sums}. */
  readonly sums?: string;
}
