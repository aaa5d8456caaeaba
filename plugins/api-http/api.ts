/** Puts the API on a Fastify server: scope, errors, validation, OpenAPI document, routes. */

import swagger from '@fastify/swagger';
import type { ApplianceControl, Clock, Log } from '@overdub/core';
import type { FastifyInstance } from 'fastify';
import { authenticate } from './auth.ts';
import { answerError, notFound } from './http-errors.ts';
import type { Api } from './route.ts';
import { eventRoutes } from './routes/events.ts';
import { imageRoutes } from './routes/images.ts';
import { infoRoutes } from './routes/info.ts';
import { machineRoutes } from './routes/machines.ts';
import { masterRoutes } from './routes/masters.ts';
import { operationRoutes } from './routes/operations.ts';
import { repositoryRoutes } from './routes/repository.ts';
import { serverRoutes } from './routes/servers.ts';
import { snapshotRoutes } from './routes/snapshots.ts';
import { tokenRoutes } from './routes/tokens.ts';
import { RECORDS } from './schemas.ts';
import { compileValidator } from './validation.ts';

export interface ApiOptions {
  /** Asked at each request: the appliance's face is complete only once it runs. */
  readonly control: () => ApplianceControl;
  readonly log: Log;
  readonly clock: Clock;
  /** Ends open streams when the plugin is to stop. */
  readonly signal: AbortSignal;
  readonly openapi: boolean;
  readonly maxBodyBytes: number;
}

/** Registers `/api/v1/*`, whether or not `server` already carries the prefix `/api`. */
export async function registerApi(server: FastifyInstance, options: ApiOptions): Promise<void> {
  const prefix = server.prefix.endsWith('/api') ? '/v1' : '/api/v1';
  await server.register((scope) => fill(scope, options), { prefix });
}

async function fill(scope: FastifyInstance, options: ApiOptions): Promise<void> {
  scope.setErrorHandler(answerError(options.log));
  scope.setNotFoundHandler(notFound);
  scope.setValidatorCompiler(compileValidator);
  // Plain JSON.stringify keeps the lone surrogates of file names that are not UTF-8, escaped.
  scope.setSerializerCompiler(() => (value) => JSON.stringify(value));
  for (const [id, schema] of Object.entries(RECORDS)) scope.addSchema({ ...schema, $id: id });
  scope.decorateRequest('token', null);
  scope.addHook('onRequest', authenticate(options.control));
  if (options.openapi) await describe(scope);
  const api: Api = { server: scope, ...options };
  for (const register of ROUTES) register(api);
}

const ROUTES = [
  infoRoutes,
  machineRoutes,
  masterRoutes,
  serverRoutes,
  snapshotRoutes,
  operationRoutes,
  imageRoutes,
  repositoryRoutes,
  tokenRoutes,
  eventRoutes,
];

async function describe(scope: FastifyInstance): Promise<void> {
  await scope.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Overdub',
        version: '1',
        description:
          'Errors are `{code, message, remedy}`. Long lists stream as NDJSON; a failure in mid-list is a last line `{"error": …}`.',
      },
      components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
      security: [{ token: [] }],
    },
    refResolver: { buildLocalReference: (json) => String(json.$id) },
  });
  scope.get('/openapi.json', { schema: { hide: true }, config: { role: 'anyone' } }, () => scope.swagger());
}
