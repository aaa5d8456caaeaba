/**
 * One POST over a connection of its own (RFC 9112), for answers that are hundreds of megabytes: what comes is read into one buffer, again
 * and again. `node:http` reads into a new one each time and copies that to another: a twelfth of a restore's CPU (docs/overlays.md).
 */

import { connect, type Socket } from 'node:net';
import { Condition } from '@overdub/core/agent';

/** Held in a processor's cache while it is worked on. */
const BUFFER_BYTES = 256 * 1024;
const MAX_HEAD_BYTES = 64 * 1024;
/** No chunk's length, with what may stand behind it, is longer. */
const MAX_LINE_BYTES = 1024;
const LF = 10;
/** What says how long a body is: said twice, it is not known. */
const FRAMING = ['content-length', 'transfer-encoding'];

export interface LeanRequest {
  /** `http:` only. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Pieces go out as they come, also while the answer does. */
  readonly body: Uint8Array | AsyncIterable<Uint8Array>;
  /** No byte for so long, while one is waited for and all of the body is out, means that the connection is dead. */
  readonly silenceMs: number;
}

/** The connection could not be made, or broke, or what came is no HTTP/1.1. */
export class LineBroken extends Error {
  override readonly name = 'LineBroken';
}

export interface LeanAnswer {
  readonly status: number;
  /** Each piece is good until the next one is asked for. */
  readonly body: AsyncGenerator<Uint8Array>;
  /** Of the body, bytes that have come. */
  readonly come: { readonly bytes: number };
}

/** Resolves with the head of the answer. Rejects, and so does the body, with LineBroken; who stops reading aborts, or ends the body. */
export async function leanPost(request: LeanRequest, signal: AbortSignal): Promise<LeanAnswer> {
  const line = new Line(request, signal);
  try {
    line.send(request);
    for (;;) {
      const head = await readHead(line);
      // Interim answers announce the one that counts (RFC 9110, 15.2).
      if (head.status < 200) continue;
      const parts = partsOf(head);
      return { status: head.status, body: bodyOf(line, parts), come: parts };
    }
  } catch (error) {
    line.close();
    throw error;
  }
}

/** A connection that is read when somebody asks, and what of it is not used yet. */
class Line {
  readonly #socket: Socket;
  readonly #silenceMs: number;
  #came: Uint8Array | undefined;
  #rest: Uint8Array = new Uint8Array();
  #hasEnded = false;
  #isSending = false;
  #isWaiting = false;
  #failure: Error | undefined;
  readonly #more = new Condition();

  constructor({ url, silenceMs }: LeanRequest, signal: AbortSignal) {
    const { hostname, port } = new URL(url);
    this.#silenceMs = silenceMs;
    const buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
    const callback = (bytes: number): boolean => {
      this.#came = buffer.subarray(0, bytes);
      this.#more.notify();
      return false;
    };
    const host = hostname.replace(/^\[(.*)\]$/, '$1');
    this.#socket = connect({ host, port: Number(port || 80), signal, onread: { buffer, callback } });
    this.#socket.setNoDelay(true);
    this.#socket.once('error', (error) => this.#end(error));
    this.#socket.once('timeout', () => this.#end(new Error('silent for too long')));
    this.#socket.once('end', () => this.#end());
    this.#socket.once('close', () => this.#end());
  }

  send({ url, headers, body }: LeanRequest): void {
    const { pathname, search, host } = new URL(url);
    const framing: Record<string, string> =
      body instanceof Uint8Array
        ? { 'content-length': String(body.length) }
        : { 'transfer-encoding': 'chunked' };
    // It is ours to close: told to, a server may do so before its refusal was read.
    const lines = { host, ...framing, ...headers };
    const head = Object.entries(lines).map(([name, value]) => `${name}: ${value}\r\n`);
    this.#socket.write(`POST ${pathname}${search} HTTP/1.1\r\n${head.join('')}\r\n`);
    if (body instanceof Uint8Array) this.#socket.write(body);
    else void this.#sendAll(body);
  }

  /** RFC 9112, 7.1. */
  async #sendAll(body: AsyncIterable<Uint8Array>): Promise<void> {
    this.#isSending = true;
    try {
      for await (const piece of body) {
        if (this.#socket.destroyed) return;
        if (piece.length === 0) continue;
        this.#socket.cork();
        this.#socket.write(`${piece.length.toString(16)}\r\n`);
        this.#socket.write(piece);
        this.#socket.write('\r\n');
        this.#socket.uncork();
      }
      if (!this.#socket.destroyed) this.#socket.write('0\r\n\r\n');
    } catch (error) {
      this.#socket.destroy(error as Error);
    }
    this.#isSending = false;
    this.#watch();
  }

  /** What has come; undefined at the end. */
  async next(): Promise<Uint8Array | undefined> {
    const rest = this.#rest;
    this.#rest = new Uint8Array();
    if (rest.length > 0) return rest;
    if (this.#came === undefined && !this.#hasEnded) {
      this.#isWaiting = true;
      this.#watch();
      this.#socket.resume();
      await this.#more.until(() => this.#came !== undefined || this.#hasEnded);
    }
    this.#isWaiting = false;
    // Whoever works on it takes the time that it takes.
    this.#socket.setTimeout(0);
    const came = this.#came;
    this.#came = undefined;
    if (came === undefined && this.#failure !== undefined)
      throw new LineBroken(this.#failure.message, { cause: this.#failure });
    return came;
  }

  /** As long as the body goes on, it may be ourselves who have nothing to ask for. */
  #watch(): void {
    if (this.#isWaiting && !this.#isSending) this.#socket.setTimeout(this.#silenceMs);
  }

  /** Gives back what was not used of the piece before. */
  back(rest: Uint8Array): void {
    this.#rest = rest;
  }

  close(): void {
    this.#socket.destroy();
  }

  #end(failure?: Error): void {
    this.#failure ??= failure;
    this.#hasEnded = true;
    this.#more.notify();
  }
}

interface Head {
  readonly status: number;
  /** Lower case. */
  readonly fields: ReadonlyMap<string, string>;
}

async function readHead(line: Line): Promise<Head> {
  let come = Buffer.alloc(0);
  let end = -1;
  while (end === -1) {
    const piece = await line.next();
    if (piece === undefined) throw new LineBroken('it was closed before an answer came');
    come = Buffer.concat([come, piece]);
    end = come.indexOf('\r\n\r\n');
    if ((end === -1 ? come.length : end) > MAX_HEAD_BYTES) throw malformed('its head is too long');
  }
  line.back(come.subarray(end + 4));
  const [first = '', ...rest] = come.toString('latin1', 0, end).split('\r\n');
  const status = /^HTTP\/1\.[01] ([1-5][0-9]{2})(?: |$)/.exec(first)?.[1];
  if (status === undefined) throw malformed('it begins otherwise');
  const fields = new Map<string, string>();
  for (const field of rest) {
    const colon = field.indexOf(':');
    const name = field.slice(0, colon).toLowerCase();
    if (colon < 1 || /[\s\0]/.test(name)) throw malformed('a field of its head has no name');
    if (/[\r\n\0]/.test(field)) throw malformed('a field of its head has no end');
    if (fields.has(name) && FRAMING.includes(name)) throw malformed(`it has two fields ${name}`);
    fields.set(name, field.slice(colon + 1).trim());
  }
  return { status: Number(status), fields };
}

async function* bodyOf(line: Line, parts: Parts): AsyncGenerator<Uint8Array> {
  try {
    while (!parts.isWhole) {
      const piece = await line.next();
      if (piece !== undefined) yield* parts.of(piece);
      else if (parts.mayEnd) return;
      else throw new LineBroken('it was closed before the whole answer had come');
    }
  } finally {
    line.close();
  }
}

/** What of the bytes of a connection belongs to a body. */
interface Parts {
  readonly bytes: number;
  readonly isWhole: boolean;
  /** May the connection end here? */
  readonly mayEnd: boolean;
  of(piece: Uint8Array): Iterable<Uint8Array>;
}

/** RFC 9112, 6.3: in chunks, of a known length, or all there is. */
function partsOf({ status, fields }: Head): Parts {
  const coding = fields.get('transfer-encoding');
  if (status === 204 || status === 304) return new PlainParts(0);
  if (coding !== undefined && fields.has('content-length')) throw malformed('its length is said twice');
  if (coding?.toLowerCase() === 'chunked') return new ChunkedParts();
  if (coding !== undefined) throw malformed(`its coding is ${coding}`);
  const length = fields.get('content-length');
  if (length !== undefined && !/^[0-9]{1,15}$/.test(length)) throw malformed('its length is no number');
  return new PlainParts(length === undefined ? undefined : Number(length));
}

class PlainParts implements Parts {
  readonly #length: number | undefined;
  bytes = 0;

  constructor(length: number | undefined) {
    this.#length = length;
  }

  get isWhole(): boolean {
    return this.bytes === this.#length;
  }

  get mayEnd(): boolean {
    return this.#length === undefined;
  }

  of(piece: Uint8Array): Uint8Array[] {
    const part = this.#length === undefined ? piece : piece.subarray(0, this.#length - this.bytes);
    this.bytes += part.length;
    return [part];
  }
}

/** RFC 9112, 7.1. Of the fields that may follow the last chunk only their end is looked for. */
class ChunkedParts implements Parts {
  bytes = 0;
  isWhole = false;
  readonly mayEnd = false;
  /** Of the chunk. */
  #left = 0;
  #line = '';
  #isBehindChunk = false;
  #isBehindLast = false;

  *of(piece: Uint8Array): Generator<Uint8Array> {
    for (let at = 0; at < piece.length && !this.isWhole; ) {
      if (this.#left === 0) {
        this.#take(piece[at++] as number);
        continue;
      }
      const part = piece.subarray(at, at + this.#left);
      at += part.length;
      this.#left -= part.length;
      this.bytes += part.length;
      yield part;
    }
  }

  #take(byte: number): void {
    if (byte !== LF) {
      this.#line += String.fromCharCode(byte);
      if (this.#line.length > MAX_LINE_BYTES) throw malformed('a line is too long');
      return;
    }
    const line = this.#line.replace(/\r$/, '');
    this.#line = '';
    if (this.#isBehindLast) {
      this.isWhole = line === '';
      return;
    }
    if (this.#isBehindChunk && line !== '') throw malformed('a chunk is longer than it says');
    this.#isBehindChunk = !this.#isBehindChunk;
    if (this.#isBehindChunk) this.#begin(line);
  }

  #begin(line: string): void {
    const size = /^([0-9a-f]{1,12})[ \t]*(?:;.*)?$/i.exec(line)?.[1];
    if (size === undefined) throw malformed('a chunk has no length');
    this.#left = Number.parseInt(size, 16);
    this.#isBehindLast = this.#left === 0;
  }
}

function malformed(why: string): Error {
  return new LineBroken(`the answer is no HTTP/1.1: ${why}`);
}
