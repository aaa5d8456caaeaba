/** JSON over HTTPS to one management controller, trusted by a certificate authority or by its certificate's digest. */

import { readFile } from 'node:fs/promises';
import http from 'node:http';
import tls from 'node:tls';

export interface Service {
  readonly url: string;
  readonly user: string;
  /** One of the two. */
  readonly passwordFile?: string;
  readonly passwordEnv?: string;
  /** SHA-256 of the certificate to trust, in hex with or without colons; it need not be signed by anybody. */
  readonly certificate?: string;
  readonly system?: string;
}

export interface Answer {
  readonly body: unknown;
  readonly etag: string | undefined;
  readonly headers: http.IncomingHttpHeaders;
}

const MAX_BYTES = 1 << 20;

/** A refusal, in the service's own words. */
export class RedfishError extends Error {
  readonly status: number;

  constructor(status: number, what: string) {
    super(what);
    this.name = 'RedfishError';
    this.status = status;
  }
}

export type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE';

export interface Order {
  readonly body?: object;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

/**
 * One request on a connection of its own (DSP0266 §6), sent only after the certificate was found right: with
 * `headers` it may hold a secret. Rejects with {@link RedfishError} for every status but 2xx.
 */
export async function send(service: Service, method: Method, path: string, order: Order): Promise<Answer> {
  const { body, headers = {}, signal } = order;
  signal.throwIfAborted();
  const url = new URL(service.url);
  const socket = await connect(url, service.certificate, signal);
  try {
    const content = body === undefined ? undefined : JSON.stringify(body);
    const request = http.request({
      createConnection: () => socket,
      method,
      path,
      signal,
      headers: {
        host: url.host,
        accept: 'application/json',
        'odata-version': '4.0',
        connection: 'close',
        ...headers,
        ...(content === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(content) }),
      },
    });
    const response = await new Promise<http.IncomingMessage>((resolve, reject) => {
      request.once('response', resolve).once('error', reject).end(content);
    });
    const parsed = parse(await textOf(response));
    const status = response.statusCode ?? 0;
    if (status >= 200 && status < 300)
      return { body: parsed, etag: response.headers.etag, headers: response.headers };
    const reason = messageOf(parsed) ?? response.statusMessage ?? '';
    throw new RedfishError(status, `${method} ${path}: ${status} ${reason}`.trim());
  } finally {
    socket.destroy();
  }
}

/** The password as it is now. Rejects when there is none. */
export async function passwordOf({ passwordFile, passwordEnv }: Service): Promise<string> {
  if (passwordFile !== undefined) return (await readFile(passwordFile, 'utf8')).replace(/\r?\n$/, '');
  const password = passwordEnv === undefined ? undefined : process.env[passwordEnv];
  if (password === undefined) throw new Error(`${passwordEnv} is not set`);
  return password;
}

/** A pinned certificate replaces every other check: controllers sign their own, for names they do not have. */
function connect(url: URL, pinned: string | undefined, signal: AbortSignal): Promise<tls.TLSSocket> {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const socket = tls.connect({
    host,
    port: url.port === '' ? 443 : Number(url.port),
    ...(/^[\d.]+$|:/.test(host) ? {} : { servername: host }),
    rejectUnauthorized: pinned === undefined,
  });
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void => {
      signal.removeEventListener('abort', abort);
      socket.destroy();
      reject(error);
    };
    const abort = (): void => fail(signal.reason instanceof Error ? signal.reason : new Error('aborted'));
    signal.addEventListener('abort', abort, { once: true });
    socket.once('error', fail);
    socket.once('secureConnect', () => {
      const seen = digestOf(socket.getPeerX509Certificate()?.fingerprint256 ?? '');
      if (pinned !== undefined && seen !== digestOf(pinned)) {
        fail(new Error(`its certificate is another one than the trusted (SHA-256 ${seen})`));
        return;
      }
      signal.removeEventListener('abort', abort);
      socket.off('error', fail);
      resolve(socket);
    });
  });
}

function digestOf(text: string): string {
  return text.replaceAll(':', '').toLowerCase();
}

async function textOf(response: http.IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of response as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > MAX_BYTES) throw new Error('the answer is longer than 1 MiB');
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}

function parse(text: string): unknown {
  try {
    return text.trim() === '' ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** DSP0266 §8.6, error responses: the extended information says more than the message. */
function messageOf(body: unknown): string | undefined {
  const { error } = (body ?? {}) as {
    error?: { message?: string; '@Message.ExtendedInfo'?: { Message?: string }[] };
  };
  return error?.['@Message.ExtendedInfo']?.[0]?.Message ?? error?.message;
}
