/** HTTP as agents need it: bodies that stream both ways, every body byte counted as it is on the wire. */

import type { ClientRequest, Agent as HttpAgent, IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { OverdubError } from '@overdub/core/agent';
import type { OpenedAnswer } from '../receiver/opened-answers.ts';
import type { Receiver } from '../receiver/receiver.ts';
import type { SentAlong } from '../receiver/sent-along.ts';
import { ConnectionLost } from './connection-lost.ts';

/** No byte for so long means that the connection is dead, milliseconds; polls last shorter. */
const SILENCE_MS = 300_000;
const MAX_JSON_BYTES = 64 * 1024 * 1024;

/**
 * Not imported: an import of `node:http` reads everything it exports, a WebSocket with the whole of undici behind it among
 * that, which is 40 ms of CPU in every command; TLS is another 20 ms.
 */
function httpOf({ protocol }: URL) {
  return process.getBuiltinModule(protocol === 'https:' ? 'node:https' : 'node:http');
}

export interface HttpRequest {
  readonly method: 'GET' | 'POST';
  /** Below the base URL, with a leading slash. */
  readonly path: string;
  readonly json?: unknown;
  /** Raw body; excludes `json`. */
  readonly body?: Uint8Array | Readable;
  readonly type?: string;
  readonly bearer?: string;
  readonly signal: AbortSignal;
}

export interface HttpAnswer {
  readonly status: number;
  readonly body: Readable;
}

export class HttpLink {
  readonly #base: URL;
  readonly #agent: HttpAgent;
  readonly bytes = { sent: 0, received: 0 };

  /** `url`: `http://10.0.0.1:7077`. */
  constructor(url: string) {
    this.#base = new URL(url.endsWith('/') ? url : `${url}/`);
    const { Agent } = httpOf(this.#base);
    this.#agent = new Agent({ keepAlive: true, maxSockets: 8 });
  }

  get url(): string {
    return this.#base.href;
  }

  /** Resolves with the head of the answer, also while the body is still being sent. */
  async send(request: HttpRequest): Promise<HttpAnswer> {
    request.signal.throwIfAborted();
    const outgoing = this.#open(request);
    const answered = new Promise<IncomingMessage>((resolve, reject) => {
      outgoing.once('response', resolve);
      outgoing.once('error', (error) => reject(this.#lost(request, error)));
      outgoing.once('timeout', () => outgoing.destroy(new Error('silent for too long')));
    });
    const sent = this.#write(outgoing, request);
    // A refusal may come before the body is out; then the answer counts, not the broken pipe.
    sent.catch(() => undefined);
    const incoming = await Promise.race([answered, sent.then(() => answered)]).catch(async (error) => {
      outgoing.destroy();
      throw request.signal.aborted ? request.signal.reason : error;
    });
    return { status: incoming.statusCode ?? 0, body: this.#count(incoming, outgoing) };
  }

  /** Sends, reads the JSON answer, throws the error it may be. */
  async json<T>(request: HttpRequest): Promise<T> {
    const answer = await this.send(request);
    return JSON.parse((await this.#whole(request, answer)).toString('utf8')) as T;
  }

  /** Sends and reads a small binary answer. */
  async binary(request: HttpRequest): Promise<Buffer> {
    return await this.#whole(request, await this.send(request));
  }

  /** Sends and hands out the answer's stream, once its status is good. */
  async stream(request: HttpRequest): Promise<Readable> {
    const answer = await this.send(request);
    if (answer.status >= 300) await this.#whole(request, answer);
    return answer.body;
  }

  /** Has a receiver send it, on a connection of its own; gives out its answers once the status is good. */
  async receive(
    receiver: Receiver,
    { body, ...request }: Omit<HttpRequest, 'body'> & { readonly body: Uint8Array | SentAlong },
  ): Promise<AsyncGenerator<OpenedAnswer>> {
    const { path, signal } = request;
    const counts = {
      sent: (bytes: number) => {
        this.bytes.sent += bytes;
      },
      received: (bytes: number) => {
        this.bytes.received += bytes;
      },
    };
    const url = this.#urlOf(path).href;
    const lean = { url, headers: headersOf(request), body, silenceMs: SILENCE_MS };
    const outcome = await receiver.ask(lean, signal, counts);
    if (outcome.is === 'begun') return outcome.answers;
    counts.received(outcome.body.length);
    throw errorOf(outcome.status, Buffer.from(outcome.body), this.url);
  }

  close(): void {
    this.#agent.destroy();
  }

  async #whole(request: HttpRequest, answer: HttpAnswer): Promise<Buffer> {
    const parts: Buffer[] = [];
    let bytes = 0;
    try {
      for await (const piece of answer.body) {
        bytes += (piece as Buffer).length;
        if (bytes > MAX_JSON_BYTES) throw new Error('the answer is too long');
        parts.push(piece as Buffer);
      }
    } catch (error) {
      throw this.#lost(request, error);
    }
    const whole = Buffer.concat(parts);
    if (answer.status >= 300) throw errorOf(answer.status, whole, this.url);
    return whole;
  }

  #urlOf(path: string): URL {
    return new URL(path.replace(/^\//, ''), this.#base);
  }

  #open(request: HttpRequest): ClientRequest {
    const url = this.#urlOf(request.path);
    return httpOf(url).request(url, {
      method: request.method,
      agent: this.#agent,
      headers: headersOf(request),
      timeout: SILENCE_MS,
      signal: request.signal,
    });
  }

  async #write(outgoing: ClientRequest, request: HttpRequest): Promise<void> {
    if (request.body instanceof Readable) {
      const { body } = request;
      body.on('data', (piece: Buffer) => {
        this.bytes.sent += piece.length;
      });
      body.once('error', (error) => outgoing.destroy(error));
      body.pipe(outgoing);
      await finished(body);
      return;
    }
    const bytes = request.json === undefined ? request.body : Buffer.from(JSON.stringify(request.json));
    this.bytes.sent += bytes?.length ?? 0;
    if (bytes !== undefined) outgoing.setHeader('content-length', bytes.length);
    outgoing.end(bytes);
  }

  #count(incoming: IncomingMessage, outgoing: ClientRequest): Readable {
    incoming.on('data', (piece: Buffer) => {
      this.bytes.received += piece.length;
    });
    incoming.pause();
    incoming.once('end', () => {
      // The appliance answered before it read everything: that connection cannot be used again.
      if (!outgoing.writableFinished) outgoing.destroy();
    });
    return incoming;
  }

  #lost(request: HttpRequest, error: unknown): unknown {
    if (request.signal.aborted) return request.signal.reason;
    if (error instanceof OverdubError) return error;
    const failedBody = request.body instanceof Readable ? request.body.errored : null;
    return failedBody ?? new ConnectionLost(this.url, error);
  }
}

function headersOf({ bearer, json, type }: HttpRequest): Record<string, string> {
  const headers: Record<string, string> = {};
  if (bearer !== undefined) headers.authorization = `Bearer ${bearer}`;
  if (json !== undefined) headers['content-type'] = 'application/json';
  else if (type !== undefined) headers['content-type'] = type;
  return headers;
}

function errorOf(status: number, body: Buffer, url: string): Error {
  try {
    const { error } = JSON.parse(body.toString('utf8')) as {
      error: { code: string; message: string; remedy: string };
    };
    if (typeof error.code === 'string') return OverdubError.fromJSON(error);
  } catch {
    // No JSON of ours: some proxy or another program answered. Told below.
  }
  return new OverdubError(
    'INTERNAL',
    `${url} answered with HTTP status ${status} where an Overdub appliance was expected.`,
    'Check OVERDUB_URL, and whether a proxy stands in between.',
  );
}
