/** The appliance's one HTTP server: owned here, its routes come from the core and from plugins. */

import fastify, { type FastifyInstance } from 'fastify';
import type { Log } from './contracts/log.ts';
import { type ErrorCode, OverdubError, toOverdubError } from './errors.ts';

/** HTTP status of each code that has one of its own; the rest are 500. */
const STATUS: Partial<Record<ErrorCode, number>> = {
  NOT_FOUND: 404,
  CONFLICT: 409,
  INPUT_INVALID: 400,
  IMAGE_INVALID: 422,
  MASTER_UNBOOTABLE: 422,
  DISK_UNSUITABLE: 422,
  ARCH_UNKNOWN: 422,
  DELTA_INVALID: 422,
  DELTA_TOO_LARGE: 422,
  MACHINE_HELD: 409,
  UNAUTHORIZED: 401,
  REPOSITORY_FULL: 507,
};

/**
 * Connections that wait to be accepted: a thousand machines connect at once, and one that is turned away waits seconds
 * before it tries again. The system's own limit (net.core.somaxconn) applies too.
 */
const BACKLOG = 4096;
/**
 * A machine that loses its power says nothing: after so long without a word the system asks whether it is there, milliseconds. Seldom, since
 * a network that is away for the ten seconds in which it asks ends the connection.
 */
const KEEP_ALIVE_MS = 600_000;

/** A server without routes; nothing listens yet. Scopes may set an error handler of their own. */
export function createHttpServer(log: Log): FastifyInstance {
  const server = fastify({
    http: { keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS },
    forceCloseConnections: true,
    routerOptions: { maxParamLength: 500 },
  });
  server.setErrorHandler((error, request, reply) => {
    const status = (error as { statusCode?: number }).statusCode;
    const coded =
      error instanceof OverdubError || status === undefined || status >= 500
        ? toOverdubError(error, 'INTERNAL', 'Look at the log of the appliance.')
        : toOverdubError(error, 'INPUT_INVALID', 'Check the request.');
    if (coded.code === 'INTERNAL') log.error({ url: request.url, error: String(error) }, 'a request failed');
    return reply.code(STATUS[coded.code] ?? status ?? 500).send({ error: coded.toJSON() });
  });
  return server;
}

/** Listens. PORT_UNAVAILABLE with what to do. Resolves with the port that was taken. */
export async function listen(server: FastifyInstance, host: string, port: number): Promise<number> {
  try {
    await server.listen({ host, port, backlog: BACKLOG });
  } catch (error) {
    throw portUnavailable(error, host, port);
  }
  const address = server.server.address();
  return typeof address === 'object' && address !== null ? address.port : port;
}

function portUnavailable(error: unknown, host: string, port: number): unknown {
  const { code } = error as { code?: string };
  const why: Readonly<Record<string, string>> = {
    EADDRINUSE: 'another program listens there',
    EACCES: 'this user may not use ports below 1024',
    EADDRNOTAVAIL: 'this machine has no such address',
  };
  if (code === undefined || why[code] === undefined) return error;
  return new OverdubError(
    'PORT_UNAVAILABLE',
    `The appliance cannot listen on ${host} port ${port}: ${why[code]}.`,
    `Stop what listens there (ss -tlnp), or set http.host and http.port in the configuration.`,
    { cause: error },
  );
}
