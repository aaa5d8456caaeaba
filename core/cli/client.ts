/** The HTTP API's client: JSON, NDJSON streams, bytes; errors come back as they were thrown there. */

import { applianceUrl } from '../domain/appliance-url.ts';
import { type ErrorBody, OverdubError } from '../errors.ts';

type Query = Readonly<Record<string, string | number | boolean | undefined>>;

export class ApiClient {
  readonly #base: string;
  readonly #token: string | undefined;
  readonly #signal: AbortSignal;

  constructor(url: string, token: string | undefined, signal: AbortSignal) {
    this.#base = applianceUrl(url);
    this.#token = token;
    this.#signal = signal;
  }

  get<T>(path: string, query: Query = {}): Promise<T> {
    return this.#json<T>('GET', path, query);
  }

  post<T>(path: string, body?: object): Promise<T> {
    return this.#json<T>('POST', path, {}, body);
  }

  put<T>(path: string, body: object): Promise<T> {
    return this.#json<T>('PUT', path, {}, body);
  }

  patch<T>(path: string, body: object): Promise<T> {
    return this.#json<T>('PATCH', path, {}, body);
  }

  async delete(path: string): Promise<void> {
    await this.#request('DELETE', path, {});
  }

  /** One record a line, as they come. */
  async *lines<T>(path: string, query: Query = {}): AsyncGenerator<T, void, undefined> {
    const response = await this.#request('GET', path, query);
    for await (const line of linesOf(this.#body(response))) {
      const value = JSON.parse(line) as T | { readonly error: ErrorBody };
      if (isFailure(value)) throw OverdubError.fromJSON(value.error);
      yield value;
    }
  }

  /** A file's bytes and the entry that describes it. */
  async bytes<E>(path: string, query: Query): Promise<{ entry: E; content: AsyncIterable<Uint8Array> }> {
    const response = await this.#request('GET', path, query);
    const header = response.headers.get('overdub-entry') ?? '';
    const entry = JSON.parse(Buffer.from(header, 'base64url').toString() || '{}') as E;
    return { entry, content: this.#body(response) };
  }

  async #json<T>(method: string, path: string, query: Query, body?: object): Promise<T> {
    const response = await this.#request(method, path, query, body);
    return (await this.#guard(() => response.json())) as T;
  }

  async #request(method: string, path: string, query: Query, body?: object): Promise<Response> {
    const headers = {
      ...(this.#token === undefined ? {} : { authorization: `Bearer ${this.#token}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    };
    const response = await this.#guard(() =>
      fetch(`${this.#base}/api/v1${path}${queryString(query)}`, {
        method,
        headers,
        signal: this.#signal,
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      }),
    );
    if (!response.ok) throw await failureOf(response, this.#base);
    return response;
  }

  async *#body(response: Response): AsyncGenerator<Uint8Array, void, undefined> {
    const reader = response.body?.getReader();
    if (reader === undefined) return;
    try {
      for (;;) {
        const { done, value } = await this.#guard(() => reader.read());
        if (done) return;
        yield value;
      }
    } finally {
      await reader.cancel().catch(() => {});
    }
  }

  /** A refused or broken connection becomes APPLIANCE_UNREACHABLE; our own cancellation OPERATION_CANCELLED. */
  async #guard<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (this.#signal.aborted) throw cancelled();
      const cause = (error as { cause?: { code?: string; message?: string } }).cause;
      throw new OverdubError(
        'APPLIANCE_UNREACHABLE',
        `No appliance answers at ${this.#base} (${cause?.code ?? cause?.message ?? (error as Error).message}).`,
        'Start it with `overdub up`, or set OVERDUB_URL (or --url) to where it runs.',
        { cause: error },
      );
    }
  }
}

/** Path segment of a name that users typed. */
export function segment(name: string): string {
  return encodeURIComponent(name);
}

function queryString(query: Query): string {
  const given = Object.entries(query).filter(([, value]) => value !== undefined);
  const pairs = given.map(([key, value]) => `${key}=${encodeURIComponent(String(value))}`);
  return pairs.length === 0 ? '' : `?${pairs.join('&')}`;
}

async function failureOf(response: Response, base: string): Promise<OverdubError> {
  const text = await response.text().catch(() => '');
  try {
    const body = JSON.parse(text) as ErrorBody;
    if (typeof body.code === 'string' && typeof body.message === 'string') return OverdubError.fromJSON(body);
  } catch {
    // Not ours: a proxy's page, or another program's.
  }
  return new OverdubError(
    'APPLIANCE_UNREACHABLE',
    `What answers at ${base} is no appliance with api-http (HTTP ${response.status}).`,
    'Check OVERDUB_URL, and that the plugin api-http is configured.',
  );
}

export function cancelled(): OverdubError {
  return new OverdubError(
    'OPERATION_CANCELLED',
    'Interrupted.',
    'What the appliance works on goes on there.',
  );
}

function isFailure(value: unknown): value is { readonly error: ErrorBody } {
  const error = (value as { error?: { code?: unknown } } | null)?.error;
  return typeof error?.code === 'string';
}

async function* linesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string, void, undefined> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of chunks) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = parts.pop() as string;
    yield* parts.filter((part) => part !== '');
  }
  if (rest !== '') yield rest;
}

/** All values of a stream, in order. */
export async function collect<T>(values: AsyncIterable<T>): Promise<readonly T[]> {
  const all: T[] = [];
  for await (const value of values) all.push(value);
  return all;
}
