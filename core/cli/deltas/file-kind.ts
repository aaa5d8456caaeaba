/** What a file is, by its first bytes. */

import { open } from 'node:fs/promises';
import type { FileFormat } from '../../contracts/delta-codec.ts';
import { OverdubError } from '../../errors.ts';
import { safe } from '../format.ts';
import type { FileCodec } from './codecs.ts';

const HEAD_BYTES = 32;
/** What people take for a delta, and deltas whose codec may not be loaded. */
const OTHERS: readonly (readonly [title: string, magic: string])[] = [
  ['a BSDIFF40 delta', 'BSDIFF40'],
  ['a bsdiff delta of another kind (BSDIFF43)', 'ENDSLEY/BSDIFF43'],
  ['an xdelta 1 delta', '%XDZ'],
  ['a GDIFF delta', '\xd1\xff\xd1\xff'],
  ['a VCDIFF delta', '\xd6\xc3\xc4'],
  ['an rdiff delta', 'rs\x026'],
  ['gzip data', '\x1f\x8b'],
  ['bzip2 data', 'BZh'],
  ['xz data', '\xfd7zXZ\0'],
  ['zstd data', '\x28\xb5\x2f\xfd'],
  ['a zip archive', 'PK\x03\x04'],
  ['a program (ELF)', '\x7fELF'],
];

/** The codec whose deltas begin like this file; DELTA_INVALID says what it is instead. */
export async function codecOfDelta(path: string, codecs: readonly FileCodec[]): Promise<FileCodec> {
  const head = await headOf(path);
  const found = codecs.find(({ files }) => begins(head, files.format));
  if (found !== undefined) return found;
  const signature = codecs
    .flatMap(({ files }) => files.signatures?.formats ?? [])
    .find((format) => begins(head, format));
  if (signature !== undefined) {
    throw new OverdubError(
      'DELTA_INVALID',
      `${path} is no delta but a signature: ${signature.title}.`,
      'Make a delta from it with `overdub delta --signature`.',
    );
  }
  const titles = codecs.map(({ files }) => files.format.title).join(', ');
  throw new OverdubError(
    'DELTA_INVALID',
    `${path} is no delta that a loaded codec reads (${titles}): it is ${kindOf(head)}.`,
    'Check the file, or load the plugin that reads it: --with diff-bsdiff.',
  );
}

/** The codec whose signatures begin like this file. */
export async function codecOfSignature(path: string, codecs: readonly FileCodec[]): Promise<FileCodec> {
  const head = await headOf(path);
  const found = codecs.find(({ files }) => files.signatures?.formats.some((format) => begins(head, format)));
  if (found !== undefined) return found;
  throw new OverdubError(
    'DELTA_INVALID',
    `${path} is no signature that a loaded codec reads: it is ${kindOf(head)}.`,
    'Make one with `overdub signature BASE -o SIGNATURE`.',
  );
}

async function headOf(path: string): Promise<Buffer> {
  await using file = await open(path, 'r');
  const { buffer, bytesRead } = await file.read(Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES, 0);
  return buffer.subarray(0, bytesRead);
}

function begins(head: Buffer, { magic }: FileFormat): boolean {
  return head.subarray(0, magic.length).equals(magic);
}

function kindOf(head: Buffer): string {
  if (head.length === 0) return 'empty';
  const known = OTHERS.find(([, magic]) =>
    head.subarray(0, magic.length).equals(Buffer.from(magic, 'latin1')),
  );
  if (known !== undefined) return known[0];
  const text = head.subarray(0, 8);
  return `something that begins with ${text.toString('hex')} (“${safe(text.toString('latin1'))}”)`;
}
