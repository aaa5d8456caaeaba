/** Members of a tar stream with everything that extended headers say of them. */

import { decodeName, type EntryType, OverdubError } from '@overdub/core/agent';
import { parseAclText } from './acl.ts';
import { ByteReader } from './byte-reader.ts';
import { BLOCK, invalid, parseHeader, parsePax, parseTime, REMEDY, type TarHeader } from './tar-format.ts';
import { expandSparse, parsePaxMap, paxPairs, readGnuMap, readPaxMap, type SparseMap } from './tar-sparse.ts';

/** One member. `path` and `target` are as the archive says, not yet judged. */
export interface TarMember {
  readonly path: string;
  readonly type: EntryType;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeNs: string;
  readonly target?: string;
  readonly device?: { readonly major: number; readonly minor: number };
  readonly xattrs?: Readonly<Record<string, string>>;
  readonly sparse?: true;
  /** Of regular files, holes included. */
  readonly bytes: number;
  /** Where the member's data lies in the (uncompressed) stream, for those that come back later. */
  readonly dataOffset: number;
  /** At most once, before the next member is asked for. */
  data(): AsyncIterable<Uint8Array>;
}

const TYPES: Readonly<Record<string, EntryType>> = {
  '0': 'file',
  '\0': 'file',
  '7': 'file',
  S: 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '3': 'character',
  '4': 'block',
  '5': 'directory',
  '6': 'fifo',
};
/** Long names and extended headers are small; more is an attack on memory. */
const MAX_META_BYTES = 16 * 1024 * 1024;

type Pax = Map<string, Buffer>;

/**
 * Members in archive order. Memory stays flat. IMAGE_INVALID, naming the last member seen, when the archive is
 * truncated or malformed; a clean end needs its block of zeros.
 */
export async function* tarMembers(
  source: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): AsyncGenerator<TarMember> {
  const walk = new TarWalk(source);
  try {
    for (let member = await walk.next(); member !== undefined; member = await walk.next()) {
      signal.throwIfAborted();
      yield member;
    }
  } finally {
    await walk.close();
  }
}

class TarWalk {
  readonly #reader: ByteReader;
  #global: Pax = new Map();
  #last = '';
  /** Archived bytes of the present member that are still in the stream, padding included. */
  #left = 0;
  #padding = 0;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#reader = new ByteReader(source);
  }

  close(): Promise<void> {
    return this.#reader.close();
  }

  async next(): Promise<TarMember | undefined> {
    try {
      return await this.#next();
    } catch (error) {
      throw this.#named(error);
    }
  }

  async #next(): Promise<TarMember | undefined> {
    await this.#finishMember();
    const local: Pax = new Map();
    for (;;) {
      const block = await this.#reader.exactly(BLOCK);
      if (block.length < BLOCK) throw invalid('it is truncated');
      const header = parseHeader(block);
      if (header === undefined) return this.#drain();
      if (await this.#takeMeta(header, local)) continue;
      const member = await this.#member(header, new Map([...this.#global, ...local]));
      if (member !== undefined) return member;
      local.clear();
    }
  }

  /** To the very end, where decompressors keep their checksums. */
  async #drain(): Promise<undefined> {
    while ((await this.#reader.some(Number.MAX_SAFE_INTEGER)) !== undefined);
  }

  async #finishMember(): Promise<void> {
    const skip = this.#left + this.#padding;
    this.#left = 0;
    this.#padding = 0;
    if ((await this.#reader.skip(skip)) < skip) throw invalid('it is truncated');
  }

  /** Extended headers and GNU long names; true when the header was one. */
  async #takeMeta(header: TarHeader, local: Pax): Promise<boolean> {
    if (!'xgLKX'.includes(header.typeflag)) return false;
    if (header.bytes > MAX_META_BYTES) throw invalid('an extended header is too long');
    const body = await this.#reader.exactly(header.bytes);
    const padding = pad(header.bytes);
    if (body.length < header.bytes || (await this.#reader.skip(padding)) < padding)
      throw invalid('it is truncated');
    if (header.typeflag === 'L' || header.typeflag === 'K') {
      const end = body.indexOf(0);
      local.set(header.typeflag === 'L' ? 'path' : 'linkpath', end < 0 ? body : body.subarray(0, end));
      return true;
    }
    const records = parsePax(body);
    const pairs = paxPairs(body);
    if (pairs !== undefined) records.set('GNU.sparse.map', Buffer.from(pairs));
    if (header.typeflag === 'g') this.#global = new Map([...this.#global, ...records]);
    else for (const [key, value] of records) local.set(key, value);
    return true;
  }

  async #member(header: TarHeader, pax: Pax): Promise<TarMember | undefined> {
    const text = (key: string) => pax.get(key)?.toString('utf8');
    const whole = (key: string, otherwise: number) => wholeNumber(text(key), otherwise);
    const path = decoded(pax.get('GNU.sparse.name') ?? pax.get('path')) ?? header.path;
    this.#last = path;
    const dataBytes = linksOnly(header.typeflag) ? 0 : whole('size', header.bytes);
    const map = await this.#sparseMap(header, pax, dataBytes);
    this.#left = dataBytes - (map?.mapBytes ?? 0);
    this.#padding = pad(dataBytes);
    if (header.typeflag === 'V') return undefined;
    const type = typeOf(header, path);
    const mtime = text('mtime');
    const xattrs = xattrsOf(pax);
    const device = type === 'character' || type === 'block';
    const target =
      type === 'symlink' || type === 'hardlink'
        ? (decoded(pax.get('linkpath')) ?? header.linkname)
        : undefined;
    return {
      path,
      type,
      mode: header.mode,
      uid: whole('uid', header.uid),
      gid: whole('gid', header.gid),
      mtimeNs: mtime === undefined ? String(BigInt(header.mtime) * 1_000_000_000n) : parseTime(mtime),
      ...(target === undefined ? {} : { target }),
      ...(device ? { device: { major: header.major, minor: header.minor } } : {}),
      ...(xattrs === undefined ? {} : { xattrs }),
      ...(map === undefined ? {} : { sparse: true }),
      bytes: type === 'file' ? (map?.realBytes ?? dataBytes) : 0,
      dataOffset: this.#reader.position,
      data: () => (map === undefined ? this.#data() : expandSparse(map, this.#data())),
    };
  }

  async #sparseMap(header: TarHeader, pax: Pax, dataBytes: number): Promise<SparseMap | undefined> {
    if (header.typeflag === 'S') return readGnuMap(header.block, this.#reader);
    const real = pax.get('GNU.sparse.realsize') ?? pax.get('GNU.sparse.size');
    if (real === undefined) return undefined;
    const realBytes = wholeNumber(real.toString('latin1'), 0);
    const list = pax.get('GNU.sparse.map');
    if (list !== undefined) return parsePaxMap(list.toString('latin1'), realBytes);
    if (dataBytes < BLOCK) throw invalid('a sparse map is missing');
    return readPaxMap(this.#reader, realBytes);
  }

  async *#data(): AsyncGenerator<Uint8Array> {
    while (this.#left > 0) {
      const piece = await this.#reader.some(this.#left).catch((error: unknown) => {
        throw this.#named(error);
      });
      if (piece === undefined) throw this.#named(invalid('it is truncated'));
      this.#left -= piece.length;
      yield piece;
    }
  }

  /** Says where in the archive it went wrong. Decompressors' own complaints are damage too. */
  #named(error: unknown): unknown {
    if (error instanceof OverdubError && error.code !== 'IMAGE_INVALID') return error;
    if ((error as Error)?.name === 'AbortError') return error;
    const where = this.#last === '' ? 'before its first entry' : `at the entry ${JSON.stringify(this.#last)}`;
    const why = error instanceof Error ? error.message : String(error);
    if (why.startsWith('The archive cannot be read')) return error;
    return new OverdubError('IMAGE_INVALID', `The archive cannot be read ${where}: ${why}.`, REMEDY, {
      cause: error,
    });
  }
}

function typeOf(header: TarHeader, path: string): EntryType {
  const type = TYPES[header.typeflag];
  if (type === undefined)
    throw invalid(`it holds a member of the unknown kind ${JSON.stringify(header.typeflag)}`);
  // Before ustar, a directory was a file whose name ends in a slash.
  return type === 'file' && header.typeflag === '\0' && path.endsWith('/') ? 'directory' : type;
}

/** Some writers give links and directories a size that no data follows. */
function linksOnly(typeflag: string): boolean {
  return '123456'.includes(typeflag);
}

function pad(bytes: number): number {
  return (BLOCK - (bytes % BLOCK)) % BLOCK;
}

function decoded(bytes: Buffer | undefined): string | undefined {
  return bytes === undefined || bytes.length === 0 ? undefined : decodeName(bytes);
}

function wholeNumber(text: string | undefined, otherwise: number): number {
  if (text === undefined || text === '') return otherwise;
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) throw invalid('a number in an extended header is malformed');
  return value;
}

function xattrsOf(pax: Pax): Record<string, string> | undefined {
  const found = new Map<string, string>();
  for (const [key, value] of pax) {
    if (key === 'SCHILY.acl.access')
      found.set('system.posix_acl_access', parseAclText(value.toString('utf8')));
    else if (key === 'SCHILY.acl.default')
      found.set('system.posix_acl_default', parseAclText(value.toString('utf8')));
  }
  for (const [key, value] of pax) {
    if (key.startsWith('SCHILY.xattr.')) found.set(key.slice(13), value.toString('base64'));
  }
  if (found.size === 0) return undefined;
  return Object.fromEntries([...found].sort(([a], [b]) => (a < b ? -1 : 1)));
}
