/** Signatures in files of their own, and deltas made from them: what `rdiff signature` and `rdiff delta` do. */

import { readFile, stat } from 'node:fs/promises';
import { type FileOptions, type FileSignatureFeature, OverdubError } from '@overdub/core/agent';
import { readPieces, reported, writeAtomically } from '@overdub/lib-files';
import { openIndex } from './block-index.ts';
import { SIGNATURE_FORMATS, type StrongKind, type SumKinds, type WeakKind } from './format.ts';
import { rdiffBlockBytes, sign } from './signature.ts';
import { deltaStream } from './stream.ts';

export interface SignFileOptions extends FileOptions {
  readonly weak?: WeakKind;
  /** Default `blake2`. `md4` only for readers that know nothing else: its collisions are made at will. */
  readonly strong?: StrongKind;
  /** Default: what `rdiff` itself would take. */
  readonly blockBytes?: number;
  readonly strongBytes?: number;
}

/** Pairs of sums by name, as `overdub signature --sums` takes them. */
const SUMS: Readonly<Record<string, SumKinds>> = {
  'rabinkarp-blake2': { weak: 'rabinkarp', strong: 'blake2' },
  'rollsum-blake2': { weak: 'rollsum', strong: 'blake2' },
  'rabinkarp-md4': { weak: 'rabinkarp', strong: 'md4' },
  'rollsum-md4': { weak: 'rollsum', strong: 'md4' },
};

const MD4_WARNING =
  'two blocks of equal MD4 can be made at will (CVE-2014-8242): check the SHA-256 of what is patched';

/** Writes the signature of a file; by default the same bytes as `rdiff signature BASE SIGNATURE`. */
export async function signFile(
  basePath: string,
  signaturePath: string,
  options: SignFileOptions = {},
): Promise<void> {
  const { size } = await stat(basePath);
  const blockBytes = options.blockBytes ?? rdiffBlockBytes(size);
  const base = reported(readPieces(basePath, options.signal), options, size);
  await writeAtomically(signaturePath, sign(base, { ...options, blockBytes, sourceBytes: size }));
}

/** Writes a delta from a signature alone, with either strong sum, as `rdiff delta SIGNATURE TARGET DELTA` does. */
export async function deltaFromSignature(
  signaturePath: string,
  targetPath: string,
  deltaPath: string,
  options: FileOptions = {},
): Promise<void> {
  const index = openIndex(await readFile(signaturePath));
  const target = reported(readPieces(targetPath, options.signal), options, (await stat(targetPath)).size);
  await writeAtomically(deltaPath, deltaStream(index, target, options.signal));
}

export const signatureFiles: FileSignatureFeature = {
  formats: SIGNATURE_FORMATS,
  sums: Object.entries(SUMS).map(([name, { strong }]) =>
    strong === 'md4' ? { name, warning: MD4_WARNING } : { name },
  ),
  async sign(basePath, signaturePath, { sums = 'rabinkarp-blake2', ...options } = {}) {
    await signFile(basePath, signaturePath, { ...options, ...sumsNamed(sums) });
  },
  delta: deltaFromSignature,
};

function sumsNamed(name: string): SumKinds {
  const kinds = SUMS[name];
  if (kinds !== undefined) return kinds;
  throw new OverdubError(
    'INPUT_INVALID',
    `There are no checksums named ${name}.`,
    `Name one of ${Object.keys(SUMS).join(', ')}.`,
  );
}
