/** Undoes the compression of an archive, told by its first bytes. */

import { spawn } from 'node:child_process';
import { open } from 'node:fs/promises';
import { PassThrough, Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { OverdubError } from '@overdub/core/agent';
import { errorCode } from '../tree/libc.ts';
import { invalid } from './tar-format.ts';

export type Compression = 'gzip' | 'zstd' | 'xz' | 'bzip2' | 'none';

const MAGIC: readonly (readonly [Compression, string])[] = [
  ['gzip', '1f8b'],
  ['zstd', '28b52ffd'],
  ['xz', 'fd377a585a00'],
  ['bzip2', '425a68'],
];

/** What the first bytes of a file say. */
export function detectCompression(head: Buffer): Compression {
  const hex = head.toString('hex', 0, 8);
  return MAGIC.find(([, magic]) => hex.startsWith(magic))?.[0] ?? 'none';
}

/** The first bytes of a file. */
export async function readHead(path: string, bytes: number, offset = 0): Promise<Buffer> {
  const file = await open(path);
  try {
    const buffer = Buffer.alloc(bytes);
    const { bytesRead } = await file.read(buffer, 0, bytes, offset);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

/** A byte stream without its compression. xz and bzip2 need the programs: PREREQUISITE_MISSING. */
export async function* decompressed(source: Readable, compression: Compression): AsyncGenerator<Uint8Array> {
  // Readers see failures as they read; one that comes after they have left is nobody's.
  source.on('error', () => {});
  if (compression === 'none') yield* source;
  else if (compression === 'gzip') yield* through(source, createGunzip());
  else if (compression === 'zstd') yield* zstdFrames(source);
  else yield* throughProgram(source, compression);
}

/** Ends both streams, whichever way the reader leaves. */
async function* through(
  source: Readable,
  transform: NodeJS.ReadWriteStream & Readable,
): AsyncGenerator<Uint8Array> {
  const output = new PassThrough();
  const flow = pipeline(source, transform, output);
  // The reader sees the failure through `output`; here it must only not go unhandled.
  flow.catch(() => {});
  try {
    yield* output;
    await flow;
  } finally {
    source.destroy();
    output.destroy();
  }
}

/** Node's decoder ends with the first frame; pzstd and concatenation make many. */
async function* zstdFrames(source: Readable): AsyncGenerator<Uint8Array> {
  const input = new Rereadable(source);
  try {
    do {
      const decoder = createZstdDecompress();
      yield* through(Readable.from(input.read(), { objectMode: false }), decoder);
      input.consumed(decoder.bytesWritten);
    } while (await input.hasMore());
  } finally {
    source.destroy();
  }
}

/** A stream that takes back what its reader did not use. */
class Rereadable {
  readonly #source: AsyncIterator<Buffer>;
  /** Given out since the last {@link consumed}, and not yet known to be used. */
  #given: Buffer[] = [];

  constructor(source: Readable) {
    this.#source = source[Symbol.asyncIterator]();
  }

  async *read(): AsyncGenerator<Buffer> {
    yield* [...this.#given];
    for (let next = await this.#source.next(); next.done !== true; next = await this.#source.next()) {
      this.#given.push(next.value);
      yield next.value;
    }
  }

  consumed(bytes: number): void {
    const rest = Buffer.concat(this.#given).subarray(bytes);
    this.#given = rest.length === 0 ? [] : [rest];
  }

  async hasMore(): Promise<boolean> {
    if (this.#given.length > 0) return true;
    const next = await this.#source.next();
    if (next.done === true) return false;
    this.#given.push(next.value);
    return true;
  }
}

async function* throughProgram(source: Readable, program: 'xz' | 'bzip2'): AsyncGenerator<Uint8Array> {
  const child = spawn(program, ['-dc'], { stdio: ['pipe', 'pipe', 'pipe'] });
  let complaint = '';
  child.stderr.on('data', (piece: Buffer) => {
    complaint = (complaint + piece.toString()).slice(0, 1000);
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', (error) => reject(errorCode(error) === 'ENOENT' ? missing(program, error) : error));
    child.once('close', resolve);
  });
  ended.catch(() => {});
  const feed = pipeline(source, child.stdin);
  feed.catch(() => {});
  try {
    yield* child.stdout;
    const code = await ended;
    if (code !== 0) throw invalid(`${program} says: ${complaint.trim().replace(/\.$/, '')}`);
    await feed;
  } finally {
    source.destroy();
    child.kill();
  }
}

function missing(program: string, cause: unknown): OverdubError {
  const packageName = program === 'xz' ? 'xz-utils' : program;
  return new OverdubError(
    'PREREQUISITE_MISSING',
    `This archive is compressed with ${program}, which is not installed.`,
    `Install it (apt install ${packageName}), or compress the archive with gzip or zstd.`,
    { cause },
  );
}
