import type { Operation } from '../../domain/operation.ts';
import { segment } from '../client.ts';
import { type Call, type Command, defineCommand } from '../command.ts';
import { duration, facts, safe, table, time } from '../format.ts';
import { waitForEnd } from '../wait.ts';

const at = (call: Call): string => `/operations/${segment(call.positional(0))}`;

export const operationCommands: readonly Command[] = [
  defineCommand({
    path: ['operation', 'list'],
    summary: 'List operations, newest first: the audit log',
    positionals: [],
    flags: {
      server: { type: 'string', value: 'SERVER', summary: 'Of this server only' },
      state: {
        type: 'string',
        value: 'STATE',
        summary: 'queued, running, waiting, done, failed or cancelled',
      },
      limit: { type: 'string', value: 'N', summary: 'At most so many' },
    },
    examples: ['overdub operation list --state running', 'overdub operation list --server web-1 --limit 5'],
    async run(call) {
      const query = { server: call.text('server'), state: call.text('state'), limit: call.text('limit') };
      const operations = await call.client().get<Operation[]>('/operations', query);
      const rows = operations.map((operation) => [
        operation.id,
        operation.kind,
        operation.server ?? '-',
        operation.state,
        operation.requestedBy,
        time(operation.createdAt),
        took(operation),
      ]);
      call.show(operations, () => table(['id', 'kind', 'server', 'state', 'by', 'asked', 'took'], rows));
      return 0;
    },
  }),
  defineCommand({
    path: ['operation', 'show'],
    summary: 'Show one operation with its steps',
    positionals: ['OPERATION'],
    flags: { wait: { type: 'boolean', summary: 'Wait until it has ended' } },
    examples: ['overdub operation show OPERATION', 'overdub operation show OPERATION --wait'],
    async run(call) {
      const client = call.client();
      const now = await client.get<Operation>(at(call));
      const operation = call.flag('wait') ? await waitForEnd(call, client, now) : now;
      call.show(operation, () => details(operation));
      return operation.state === 'failed' ? 1 : 0;
    },
  }),
  defineCommand({
    path: ['operation', 'cancel'],
    summary: 'Cancel an operation where that is safe',
    positionals: ['OPERATION'],
    flags: {},
    examples: ['overdub operation cancel OPERATION'],
    async run(call) {
      const operation = await call.client().post<Operation>(`${at(call)}/cancel`);
      call.show(operation, () => `${operation.id} is ${operation.state}`);
      return 0;
    },
  }),
];

function took({ createdAt, endedAt }: Operation): string {
  return endedAt === undefined ? '-' : duration(Date.parse(endedAt) - Date.parse(createdAt));
}

function details(operation: Operation): string {
  const head = facts([
    ['operation', operation.id],
    ['kind', operation.kind],
    ['server', operation.server],
    ['machine', operation.machineId],
    ['state', operation.state],
    ['attention', operation.attention && safe(operation.attention)],
    ['asked by', operation.requestedBy],
    ['asked', time(operation.createdAt)],
    ['ended', time(operation.endedAt)],
    ['error', operation.error && `${operation.error.code}: ${safe(operation.error.message)}`],
    ['next', operation.error && safe(operation.error.remedy)],
  ]);
  const rows = operation.steps.map((step) => [
    step.name,
    step.state,
    time(step.startedAt),
    time(step.endedAt),
    step.attempts,
  ]);
  return `${head}\n\n${table(['step', 'state', 'began', 'ended', 'attempts'], rows, 'no steps')}`;
}
