/** One way to declare a route: role, schemas, handler. */

import type { ApplianceControl, Clock, Operation, Role, TokenInfo } from '@overdub/core';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { type Static, type TSchema, Type } from 'typebox';
import type { RecordName } from './schemas.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Least role that may call the route. */
    readonly role?: Role | 'anyone';
  }
  interface FastifyRequest {
    token: TokenInfo | null;
  }
}

export interface Api {
  readonly server: FastifyInstance;
  readonly control: () => ApplianceControl;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly maxBodyBytes: number;
}

/** What a handler gets: validated input and who asks. */
export interface Call<P, Q, B> {
  readonly control: ApplianceControl;
  readonly params: P;
  readonly query: Q;
  readonly body: B;
  readonly token: TokenInfo;
  /** Name of the token, for the audit log. */
  readonly by: string;
  /** Aborts when the client goes away or the appliance stops. */
  readonly signal: AbortSignal;
  readonly reply: FastifyReply;
}

export interface Route<P extends TSchema, Q extends TSchema, B extends TSchema> {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly url: string;
  readonly role: Role;
  readonly tag: string;
  readonly summary: string;
  readonly params?: P;
  readonly query?: Q;
  readonly body?: B;
  /** A record, a list of it, a stream of it, or bytes. Absent: no content. */
  readonly response?:
    | RecordName
    | { readonly list: RecordName }
    | { readonly stream: RecordName }
    | 'bytes'
    | 'events';
  /** Default 200; 204 without response; 202 for operations. */
  readonly status?: number;
  handle(call: Call<Static<P>, Static<Q>, Static<B>>): Promise<unknown>;
}

const Nothing = Type.Object({});

/** Adds one route to the API. */
export function route<
  P extends TSchema = typeof Nothing,
  Q extends TSchema = typeof Nothing,
  B extends TSchema = typeof Nothing,
>(api: Api, definition: Route<P, Q, B>): void {
  const status = definition.status ?? (definition.response === undefined ? 204 : 200);
  api.server.route({
    method: definition.method,
    url: definition.url,
    bodyLimit: api.maxBodyBytes,
    config: { role: definition.role },
    schema: {
      tags: [definition.tag],
      summary: definition.summary,
      description: `Needs the role ${definition.role}.`,
      params: definition.params ?? Nothing,
      querystring: definition.query ?? Nothing,
      ...(definition.body === undefined ? {} : { body: definition.body }),
      response: { [status]: responseSchema(definition), default: { description: 'Failure', $ref: 'Error#' } },
    },
    handler: async (request, reply) => {
      reply.code(status);
      const answer = await definition.handle(callOf(api, request, reply));
      if (definition.response === undefined) return reply.send();
      return definition.response === 'Operation' ? withoutMemory(answer as Operation) : answer;
    },
  });
}

/** An operation's memory may hold a machine's credential: it stays inside. */
export function withoutMemory(operation: Operation): Operation {
  return { ...operation, memory: {} };
}

function callOf<P, Q, B>(api: Api, request: FastifyRequest, reply: FastifyReply): Call<P, Q, B> {
  const gone = new AbortController();
  reply.raw.once('close', () => gone.abort());
  const token = request.token as TokenInfo;
  return {
    control: api.control(),
    params: request.params as P,
    query: request.query as Q,
    body: request.body as B,
    token,
    by: token.name,
    signal: AbortSignal.any([gone.signal, api.signal]),
    reply,
  };
}

function responseSchema({ response, summary }: Route<TSchema, TSchema, TSchema>): unknown {
  if (response === undefined) return { description: 'Done', type: 'null' };
  if (response === 'bytes') return content('application/octet-stream', { type: 'string', format: 'binary' });
  if (response === 'events') return content('text/event-stream', { type: 'string' });
  if (typeof response === 'string') return { description: summary, $ref: `${response}#` };
  if ('stream' in response) return content('application/x-ndjson', { $ref: `${response.stream}#` });
  return { description: summary, type: 'array', items: { $ref: `${response.list}#` } };
}

function content(type: string, schema: object): object {
  return { description: 'Stream', content: { [type]: { schema } } };
}
