import type { ApplianceControl, Operation } from '@overdub/core';
import { Type } from 'typebox';
import { assertServer } from '../auth.ts';
import { type Api, type Call, route, withoutMemory } from '../route.ts';
import { StateOfOperation } from '../schemas.ts';

const tag = 'operations';
const params = Type.Object({ operation: Type.String() });
const MAX_WAIT_SECONDS = 60;

export function operationRoutes(api: Api): void {
  route(api, {
    method: 'GET',
    url: '/operations',
    role: 'viewer',
    tag,
    summary: 'Operations, newest first: the audit log',
    query: Type.Object({
      server: Type.Optional(Type.String()),
      state: Type.Optional(StateOfOperation),
      limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 10_000 })),
    }),
    response: { list: 'Operation' },
    handle: async ({ control, query }) => (await control.listOperations(query)).map(withoutMemory),
  });
  route(api, {
    method: 'GET',
    url: '/operations/:operation',
    role: 'viewer',
    tag,
    summary: 'One operation; with `wait`, when it has ended or that many seconds have passed',
    params,
    query: Type.Object({ wait: Type.Optional(Type.Number({ minimum: 0, maximum: MAX_WAIT_SECONDS })) }),
    response: 'Operation',
    handle: async ({ control, params: { operation: id }, query: { wait }, token, signal }) => {
      const operation = await control.getOperation(id);
      assertServer(token, operation.server);
      return wait === undefined || hasEnded(operation) ? operation : waitFor(control, id, wait, signal, api);
    },
  });
  route(api, {
    method: 'POST',
    url: '/operations/:operation/cancel',
    role: 'operator',
    tag,
    summary: 'Cancels an operation where that is safe',
    params,
    response: 'Operation',
    handle: (call) => cancel(call),
  });
}

async function cancel({
  control,
  params: { operation: id },
  token,
  by,
}: Call<{ operation: string }, unknown, unknown>): Promise<Operation> {
  assertServer(token, (await control.getOperation(id)).server);
  return control.cancelOperation(id, by);
}

function hasEnded({ state }: Operation): boolean {
  return state === 'done' || state === 'failed' || state === 'cancelled';
}

/** The operation's end, or how it stands when the time is up. */
async function waitFor(
  control: ApplianceControl,
  id: string,
  seconds: number,
  gone: AbortSignal,
  { clock }: Api,
): Promise<Operation> {
  const enough = new AbortController();
  const ended = control.waitOperation(id, { signal: AbortSignal.any([gone, enough.signal]) });
  const late = clock.sleep(seconds * 1000, AbortSignal.any([gone, enough.signal]));
  try {
    await Promise.race([ended, late]);
  } catch (error) {
    if (!gone.aborted) throw error;
  } finally {
    enough.abort();
    ended.catch(() => {});
    late.catch(() => {});
  }
  return control.getOperation(id);
}
