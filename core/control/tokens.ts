/** API tokens: shown once, stored hashed. */

import type { Catalogue } from '../catalogue/catalogue.ts';
import { newSecret } from '../catalogue/secrets.ts';
import type { Clock } from '../contracts/clock.ts';
import type { ApplianceControl, Role, TokenInfo } from '../contracts/control.ts';
import { OverdubError } from '../errors.ts';
import { newId } from '../operations/ids.ts';
import type { ControlDeps } from './deps.ts';

type TokenControl = Pick<ApplianceControl, 'createToken' | 'listTokens' | 'revokeToken' | 'authenticate'>;

const ROLES: readonly Role[] = ['viewer', 'operator', 'admin'];

export function tokenControl({ catalogue, servers, clock }: ControlDeps): TokenControl {
  return {
    async createToken({ name, role, server }) {
      if (!ROLES.includes(role) || name.trim() === '' || name.length > 100) {
        throw new OverdubError(
          'INPUT_INVALID',
          `A token needs a name and one of the roles ${ROLES.join(', ')}.`,
          'Write overdub token create NAME --role operator.',
        );
      }
      if (server !== undefined) {
        await servers.get(server);
        if (role !== 'operator') {
          throw new OverdubError(
            'INPUT_INVALID',
            `Only operator tokens can be limited to one server, not ${role} ones.`,
            'Leave the server out, or choose the role operator.',
          );
        }
      }
      return addToken(catalogue, clock, { name, role, ...(server === undefined ? {} : { server }) });
    },
    listTokens: () => catalogue.tokens.list(),
    async revokeToken(id) {
      const tokens = await catalogue.tokens.list();
      const token = tokens.find((each) => each.id === id);
      if (token === undefined) {
        throw new OverdubError('NOT_FOUND', `There is no token ${id}.`, 'List them: overdub token list.');
      }
      const admins = tokens.filter((each) => each.role === 'admin');
      if (token.role === 'admin' && admins.length === 1) {
        throw new OverdubError(
          'CONFLICT',
          'This is the last admin token; without it nobody could make another.',
          'Create a new admin token first: overdub token create NAME --role admin.',
        );
      }
      await catalogue.tokens.remove(id);
    },
    authenticate: async (secret) => (secret === '' ? undefined : catalogue.tokens.bySecret(secret)),
  };
}

/** On the first start there is none: makes an admin's. Returns its secret that one time. */
export async function firstToken(catalogue: Catalogue, clock: Clock): Promise<string | undefined> {
  if ((await catalogue.tokens.list()).length > 0) return undefined;
  return (await addToken(catalogue, clock, { name: 'admin', role: 'admin' })).secret;
}

async function addToken(
  catalogue: Catalogue,
  clock: Clock,
  request: { name: string; role: Role; server?: string },
): Promise<TokenInfo & { secret: string }> {
  const nowMs = clock.now();
  const token: TokenInfo = {
    id: newId('tok', nowMs),
    ...request,
    createdAt: new Date(nowMs).toISOString(),
  };
  const secret = newSecret('ovt_');
  await catalogue.tokens.add(token, secret);
  return { ...token, secret };
}
