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
}

const MAX_BYTES = 1 << 20;

/**
 * One request (DSP0266 §6). The credentials are sent only after the certificate was found right. Rejects with the
 * service's own words for every status but 2xx.
 */
export async function ask(
  service: Service,
  method: 'GET' | 'POST' | 'PATCH',
  path: string,
  { body, ifMatch, signal }: { body?: object; ifMatch?: string | undefined; signal: AbortSignal },
): Promise<Answer> {
  signal.throwIfAborted();
  const password = await passwordOf(service);
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
        authorization: `Basic ${Buffer.from(`${service.user}:${password}`).toString('base64')}`,
        ...(content === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(content) }),
        ...(ifMatch === undefined ? {} : { 'if-match': ifMatch }),
      },
    });
    const response = await new Promise<http.IncomingMessage>((resolve, reject) => {
      request.once('response', resolve).once('error', reject).end(content);
    });
    const text = await textOf(response);
    const status = response.statusCode ?? 0;
    const parsed = parse(text);
    if (status >= 200 && status < 300) return { body: parsed, etag: response.headers.etag };
    throw new Error(
      `${method} ${path}: ${status} ${messageOf(parsed) ?? response.statusMessage ?? ''}`.trim(),
    );
  } finally {
    socket.destroy();
  }
}

async function passwordOf({ passwordFile, passwordEnv }: Service): Promise<string> {
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
