import type { Role, TokenInfo } from '../../contracts/control.ts';
import { segment } from '../client.ts';
import { type Command, defineCommand, UsageError } from '../command.ts';
import { table, time } from '../format.ts';

const ROLES: readonly Role[] = ['viewer', 'operator', 'admin'];

export const tokenCommands: readonly Command[] = [
  defineCommand({
    path: ['token', 'create'],
    summary: 'Make a token; its secret is shown once',
    positionals: ['NAME'],
    flags: {
      role: { type: 'string', value: 'ROLE', summary: 'viewer (default), operator or admin' },
      server: { type: 'string', value: 'SERVER', summary: 'Limit an operator token to one server' },
    },
    examples: [
      'overdub token create ci --role viewer',
      'overdub token create web-1-agent --role operator --server web-1',
    ],
    async run(call) {
      const role = call.text('role') ?? 'viewer';
      if (!ROLES.includes(role as Role)) throw new UsageError(`\`${role}\` is no role: ${ROLES.join(', ')}.`);
      const server = call.text('server');
      const body = { name: call.positional(0), role, ...(server === undefined ? {} : { server }) };
      const token = await call.client().post<TokenInfo & { secret: string }>('/tokens', body);
      call.show(token, () => token.secret);
      return 0;
    },
  }),
  defineCommand({
    path: ['token', 'list'],
    summary: 'List tokens, without their secrets',
    positionals: [],
    flags: {},
    examples: ['overdub token list'],
    async run(call) {
      const tokens = await call.client().get<TokenInfo[]>('/tokens');
      const rows = tokens.map(({ id, name, role, server, createdAt }) => [
        id,
        name,
        role,
        server ?? '-',
        time(createdAt),
      ]);
      call.show(tokens, () => table(['id', 'name', 'role', 'server', 'made'], rows));
      return 0;
    },
  }),
  defineCommand({
    path: ['token', 'revoke'],
    summary: 'Revoke a token',
    positionals: ['ID'],
    flags: {},
    examples: ['overdub token revoke ID'],
    async run(call) {
      await call.client().delete(`/tokens/${segment(call.positional(0))}`);
      call.show({ revoked: call.positional(0) }, () => `${call.positional(0)} is revoked`);
      return 0;
    },
  }),
];
