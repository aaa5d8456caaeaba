/** Bearer tokens (RFC 6750 §2.1) and roles. */

import { type ApplianceControl, OverdubError, type Role, type TokenInfo } from '@overdub/core';
import type { FastifyReply, FastifyRequest } from 'fastify';

const RANK: Readonly<Record<Role, number>> = { viewer: 1, operator: 2, admin: 3 };

/** Refuses requests without a valid token of sufficient role; runs before the body is read. */
export function authenticate(control: () => ApplianceControl) {
  return async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    const needed = request.routeOptions.config.role ?? 'admin';
    if (needed === 'anyone') return;
    const secret = /^Bearer +([A-Za-z0-9._~+/=-]{1,512})$/i.exec(request.headers.authorization ?? '')?.[1];
    const token = secret === undefined ? undefined : await control().authenticate(secret);
    if (token === undefined) {
      reply.header('www-authenticate', 'Bearer realm="overdub"');
      throw new OverdubError(
        'UNAUTHORIZED',
        secret === undefined ? 'The request carries no token.' : 'The token is not valid (wrong or revoked).',
        'Set OVERDUB_TOKEN; an administrator makes one with `overdub token create`.',
      );
    }
    request.token = token;
    assertMay(token, needed, request);
  };
}

/** Refused for lack of right rather than of a token: HTTP 403 instead of 401. */
export class Forbidden extends OverdubError {
  constructor(message: string, remedy: string) {
    super('UNAUTHORIZED', message, remedy);
  }
}

function assertMay(token: TokenInfo, needed: Role, request: FastifyRequest): void {
  if (RANK[token.role] < RANK[needed]) {
    throw new Forbidden(
      `The token ${token.name} has the role ${token.role}; this needs ${needed}.`,
      `Use a token with the role ${needed}.`,
    );
  }
  if (token.server === undefined) return;
  const { server, operation } = request.params as { server?: string; operation?: string };
  if (server !== token.server && operation === undefined) throw otherServer(token);
}

/** For operations, whose server is known only once they have been read. */
export function assertServer(token: TokenInfo, server: string | undefined): void {
  if (token.server !== undefined && token.server !== server) throw otherServer(token);
}

function otherServer(token: TokenInfo): Forbidden {
  return new Forbidden(
    `The token ${token.name} is limited to the server ${token.server}.`,
    'Use a token without that limit.',
  );
}
