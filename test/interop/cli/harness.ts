/** The CLI in this process, against the real HTTP API over a fake control. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ApplianceControl, Operation } from '@overdub/core';
import Fastify, { type FastifyInstance } from 'fastify';
import { runCli } from '../../../core/cli/dispatch.ts';
import type { Environment } from '../../../core/cli/environment.ts';
import { registerApi } from '../../../plugins/api-http/api.ts';
import { type FakeControl, fakeControl } from '../../../plugins/api-http/testing/fake-control.ts';
import * as records from '../../../plugins/api-http/testing/records.ts';

const log = { debug() {}, info() {}, warn() {}, error() {} };
const clock = {
  now: () => 0,
  sleep: (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms)),
};
export const done: Operation = {
  ...records.operation,
  state: 'done',
  endedAt: '2026-11-22T12:45:04.000Z',
  result: { bytesReceived: 1234 },
};
export const NOW = Date.parse('2026-11-22T13:00:00Z');

let folder = '';
let app: FastifyInstance | undefined;

/** The CLI's working directory in this test. */
export const here = (): string => folder;

/** For `beforeEach`: a working directory, and the time zone of the tests. */
export async function setUp(): Promise<void> {
  process.env.TZ = 'Europe/Berlin';
  folder = await mkdtemp(join(tmpdir(), 'overdub-cli-'));
}

/** For `afterEach`. */
export async function tearDown(): Promise<void> {
  await app?.close();
  app = undefined;
  await rm(folder, { recursive: true, force: true });
}

export interface Run {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  readonly bytes: Buffer;
}

/** An appliance with these answers, and `overdub` set up to ask it. */
export async function appliance(
  answers: Partial<ApplianceControl>,
  role = 'admin',
): Promise<{ overdub(...args: string[]): Promise<Run>; calls: FakeControl['calls']; url: string }> {
  await app?.close();
  const fake = fakeControl(answers);
  app = Fastify({ forceCloseConnections: true });
  const signal = new AbortController().signal;
  await registerApi(app, {
    control: () => fake.control,
    log,
    clock,
    signal,
    openapi: false,
    maxBodyBytes: 4096,
  });
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  const overdub = async (...args: string[]) => {
    const printed = { out: '', err: '', bytes: [] as Uint8Array[] };
    const environment: Environment = {
      cwd: folder,
      variables: { OVERDUB_URL: url, OVERDUB_TOKEN: `${role}-secret` },
      out: (text) => {
        printed.out += text;
      },
      outBytes: async (bytes) => void printed.bytes.push(bytes),
      err: (text) => {
        printed.err += text;
      },
      interactive: false,
      signal,
      now: () => NOW,
    };
    const code = await runCli(args, environment);
    return { code, out: printed.out, err: printed.err, bytes: Buffer.concat(printed.bytes) };
  };
  return { overdub, calls: fake.calls, url };
}

export const stream = async function* <T>(...values: T[]) {
  yield* values;
};
export const started: Partial<ApplianceControl> = {
  rollback: async () => records.operation,
  move: async () => records.operation,
  takeSnapshot: async () => records.operation,
  assignServer: async () => records.operation,
  importMaster: async () => records.operation,
  verifyRepository: async () => records.operation,
  repairRepository: async () => records.operation,
  repositoryUsage: async () => records.usage,
  collectGarbage: async () => records.operation,
  getOperation: async () => done,
  waitOperation: async () => done,
};
export const by = 'admin-token';
