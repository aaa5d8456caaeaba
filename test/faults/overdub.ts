/** `overdub` as its users start it: the real program in processes of its own. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { ErrorBody, Operation } from '@overdub/core';
import { expect } from 'vitest';
import { kill, PATIENCE_MS, type Room } from './room.ts';

const PROGRAM = fileURLToPath(new URL('../../bin/overdub.mjs', import.meta.url));

/** How a program ended. */
export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
  /** The coded error of its last line, with --json. */
  readonly error: ErrorBody | undefined;
}

/** What the tests run: no privilege is needed, one TCP port. Machines boot through iPXE's own route alone. */
export const PLUGINS: readonly (string | object)[] = [
  { plugin: 'storage-local', options: { reserveBytes: 1_048_576 } },
  'imaging-tree',
  'diff-rsync',
  'diff-zstd',
  'discovery-netboot',
  'boot-ipxe',
  'api-http',
];

/** A configuration file in the room; `plugins` default to {@link PLUGINS}. */
export async function configure(
  room: Room,
  config: object = {},
  name = 'overdub.config.json',
): Promise<string> {
  const file = room.path(name);
  const whole = { http: { host: '127.0.0.1', port: 0 }, plugins: PLUGINS, ...config };
  await writeFile(file, JSON.stringify(whole));
  return file;
}

interface Where {
  /** Put before the program: `ip netns exec NAME`. */
  readonly prefix?: readonly string[];
  readonly variables?: Readonly<Record<string, string>>;
}

/** Starts it; ends with the room at the latest. */
export function start(room: Room, args: readonly string[], where: Where = {}): ChildProcess {
  const [program = '', ...rest] = [...(where.prefix ?? []), process.execPath, PROGRAM, ...args];
  const child = spawn(program, rest, {
    cwd: room.directory,
    env: { ...process.env, ...where.variables },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  room.adopt(child);
  return child;
}

/** Runs it with --json to its end. A program that does not end is killed, and has no exit code. */
export async function overdub(room: Room, args: readonly string[], where: Where = {}): Promise<Ended> {
  const child = start(room, [...args, '--json'], where);
  const [out, err] = [collect(child, 'stdout'), collect(child, 'stderr')];
  const timer = setTimeout(() => child.kill('SIGKILL'), PATIENCE_MS);
  const [code] = (await once(child, 'close')) as [number | null];
  clearTimeout(timer);
  return { code, out: out(), err: err(), error: lastError(err()) };
}

function collect(child: ChildProcess, stream: 'stdout' | 'stderr'): () => string {
  const pieces: Buffer[] = [];
  child[stream]?.on('data', (piece: Buffer) => pieces.push(piece));
  return () => Buffer.concat(pieces).toString('utf8');
}

function lastError(text: string): ErrorBody | undefined {
  const line = text
    .trimEnd()
    .split('\n')
    .findLast((each) => each.startsWith('{"error":{'));
  return line === undefined ? undefined : (JSON.parse(line) as { error: ErrorBody }).error;
}

/** A running appliance and the means to talk to it. */
export class Appliance {
  readonly url: string;
  readonly child: ChildProcess;
  readonly #room: Room;
  readonly #token: string;
  readonly #log: () => string;

  private constructor(
    room: Room,
    child: ChildProcess,
    log: () => string,
    up: { url: string; token: string },
  ) {
    this.#room = room;
    this.child = child;
    this.#log = log;
    this.url = up.url;
    this.#token = up.token;
  }

  /** `overdub up`; resolves once it listens, rejects with its own words when it does not. */
  static async up(
    room: Room,
    { config, state = room.path('state'), port, token }: UpOptions,
  ): Promise<Appliance> {
    const args = ['up', '--config', config, '--state', state, '--json'];
    const child = start(room, port === undefined ? args : [...args, '--port', port]);
    const log = collect(child, 'stderr');
    const line = await firstLine(child);
    if (line === undefined) throw new Error(`the appliance did not start: ${log()}`);
    const { url, firstToken } = JSON.parse(line) as { url: string; firstToken?: string };
    return new Appliance(room, child, log, { url, token: token ?? firstToken ?? '' });
  }

  get port(): string {
    return new URL(this.url).port;
  }

  get token(): string {
    return this.#token;
  }

  /** What it logged so far. */
  get log(): string {
    return this.#log();
  }

  /** kill -9. */
  kill(): Promise<void> {
    return kill(this.child);
  }

  /** The command line interface against this appliance. */
  cli(...args: readonly string[]): Promise<Ended> {
    const variables = { OVERDUB_URL: this.url, OVERDUB_TOKEN: this.#token };
    return overdub(this.#room, args, { variables });
  }

  /** A command that has to succeed; what it printed. */
  async ask<T>(...args: readonly string[]): Promise<T> {
    const ended = await this.cli(...args);
    if (ended.code !== 0) throw new Error(`overdub ${args.join(' ')} ended with ${ended.code}: ${ended.err}`);
    return JSON.parse(ended.out) as T;
  }

  /** A request to the HTTP API that has to succeed. */
  async get(path: string): Promise<Response> {
    const headers = { authorization: `Bearer ${this.#token}` };
    const answer = await fetch(`${this.url}/api/v1${path}`, { headers });
    if (!answer.ok) throw new Error(`GET ${path}: ${answer.status} ${await answer.text()}`);
    return answer;
  }

  /** Records as the API shows them now: what its lists print, without a process for each look. */
  async records<T>(path: string): Promise<T> {
    return (await (await this.get(path)).json()) as T;
  }

  operation(id: string): Promise<Operation> {
    return this.records<Operation>(`/operations/${id}`);
  }
}

export interface UpOptions {
  readonly config: string;
  readonly state?: string;
  /** The port of the one before, so that agents find it again. */
  readonly port?: string;
  /** Of the first start. */
  readonly token?: string;
}

/** The first line that a program prints; undefined when it ends without one. */
export async function firstLine(child: ChildProcess): Promise<string | undefined> {
  const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream });
  for await (const line of lines) return line;
  return undefined;
}

/** Exit code 1 and an error that a user can act on: its code, what and why, what to do next. */
export function expectFailure(ended: Ended, code: string, words: Words): void {
  expect(ended.error, ended.err).toBeDefined();
  expectError(ended.error, code, words);
  expect(ended.code).toBe(1);
}

export interface Words {
  /** The message names the thing. */
  readonly says: string | RegExp;
  /** The remedy says what to do. */
  readonly helps: string | RegExp;
}

/** The same of an error that came some other way: over HTTP, or in an operation's record. */
export function expectError(error: ErrorBody | undefined, code: string, { says, helps }: Words): void {
  expect(error).toMatchObject({
    code,
    message: expect.stringMatching(says),
    remedy: expect.stringMatching(helps),
  });
}
