/** The API on a server of a test's own, over a fake control. */

import { setTimeout as delay } from 'node:timers/promises';
import type { ApplianceControl } from '@overdub/core';
import Fastify, { type FastifyInstance, type InjectOptions } from 'fastify';
import { registerApi } from '../api.ts';
import { type FakeControl, fakeControl } from './fake-control.ts';
import * as records from './records.ts';

const log = { debug() {}, info() {}, warn() {}, error() {} };
export const clock = {
  now: () => 0,
  sleep: (ms: number, signal?: AbortSignal) => delay(ms, undefined, signal === undefined ? {} : { signal }),
};
const closers: (() => Promise<void>)[] = [];

/** For `afterEach`: closes every server that {@link serve} opened. */
export async function closeAll(): Promise<void> {
  for (const close of closers.splice(0)) await close();
}

/** Serves the given answers; `prefix` as the appliance would give the scope. */
export async function serve(
  answers: Partial<ApplianceControl>,
  prefix?: string,
): Promise<FakeControl & { app: FastifyInstance }> {
  const fake = fakeControl(answers);
  const app = Fastify();
  const stop = new AbortController();
  const options = {
    control: () => fake.control,
    log,
    clock,
    signal: stop.signal,
    openapi: true,
    maxBodyBytes: 4096,
  };
  if (prefix === undefined) await registerApi(app, options);
  else await app.register((scope) => registerApi(scope, options), { prefix });
  await app.ready();
  closers.push(async () => {
    stop.abort();
    await app.close();
  });
  return { ...fake, app };
}

/** A request with the secret of that role's token. */
export const as = (role: string, options: InjectOptions): InjectOptions => ({
  ...options,
  headers: { authorization: `Bearer ${role}-secret`, ...options.headers },
});

export const stream = async function* <T>(...values: T[]) {
  yield* values;
};

/** An answer to every call. */
export const answers: Partial<ApplianceControl> = {
  listMachines: async () => [records.machine],
  getMachine: async () => records.machine,
  acceptMachine: async () => records.machine,
  rejectMachine: async () => records.machine,
  labelMachine: async () => records.machine,
  renameMachine: async () => records.machine,
  forgetMachine: async () => undefined,
  powerMachine: async () => ({ where: 'ipmi 10.0.9.3', state: 'on' }),
  importMaster: async () => records.operation,
  optimise: async () => records.operation,
  listMasters: async () => [records.master],
  getMaster: async () => records.master,
  removeMaster: async () => undefined,
  createServer: async () => records.server,
  listServers: async () => [records.server],
  getServer: async () => records.server,
  setServer: async () => records.server,
  removeServer: async () => undefined,
  assignServer: async () => records.operation,
  releaseServer: async () => records.server,
  takeSnapshot: async () => records.operation,
  listSnapshots: async () => [records.snapshot],
  resolveSnapshot: async () => records.snapshot,
  pinSnapshot: async () => records.snapshot,
  removeSnapshot: async () => undefined,
  rollback: async () => records.operation,
  move: async () => records.operation,
  listOperations: async () => [records.operation],
  getOperation: async () => records.operation,
  cancelOperation: async () => records.operation,
  verifyRepository: async () => records.operation,
  repairRepository: async () => records.operation,
  repositoryUsage: async () => records.usage,
  collectGarbage: async () => records.operation,
  resolveImage: async () => ({ manifest: records.master.manifest, label: 'web@3' }),
  diff: () => stream(records.change),
  log: () => stream({ snapshot: records.snapshot, change: 'content' as const }),
  listFiles: () => stream(records.entry),
  readFile: async () => ({ entry: records.entry, content: stream(Buffer.from('hello\n')) }),
  createToken: async (request) => ({ id: 't', createdAt: '', ...request, secret: 's' }),
  listTokens: async () => [],
  revokeToken: async () => undefined,
};
