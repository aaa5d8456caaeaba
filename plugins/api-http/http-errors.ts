/** Errors as HTTP: the right status, and `{code, message, remedy}` as the body. */

import { type ErrorCode, type Log, OverdubError } from '@overdub/core';
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { Forbidden } from './auth.ts';

/** code → HTTP status (RFC 9110 §15). */
export const HTTP_STATUS: Readonly<Record<ErrorCode, number>> = {
  CONFIG_INVALID: 500,
  PLUGIN_FAILED: 502,
  PLUGIN_INCOMPATIBLE: 500,
  PLUGIN_TIMEOUT: 504,
  DRIVER_MISSING: 422,
  STATE_UNWRITABLE: 503,
  STATE_LOCKED: 503,
  PORT_UNAVAILABLE: 503,
  REPOSITORY_FULL: 507,
  REPOSITORY_DAMAGED: 500,
  DELTA_INVALID: 422,
  DELTA_TOO_LARGE: 413,
  NOT_FOUND: 404,
  CONFLICT: 409,
  INPUT_INVALID: 400,
  APPLIANCE_UNREACHABLE: 502,
  UNAUTHORIZED: 401,
  IMAGE_INVALID: 422,
  MASTER_UNBOOTABLE: 422,
  DISK_UNSUITABLE: 422,
  ARCH_UNKNOWN: 422,
  MACHINE_HELD: 409,
  AGENT_LOST: 502,
  OPERATION_CANCELLED: 409,
  TIMED_OUT: 504,
  PREREQUISITE_MISSING: 503,
  INTERNAL: 500,
};

/** Turns whatever a route threw into an answer; what nobody expected is logged and told as INTERNAL. */
export function answerError(log: Log) {
  return (error: FastifyError | Error, request: FastifyRequest, reply: FastifyReply): FastifyReply => {
    if (error instanceof OverdubError) {
      return reply.code(error instanceof Forbidden ? 403 : HTTP_STATUS[error.code]).send(error.toJSON());
    }
    const status = 'statusCode' in error ? error.statusCode : undefined;
    if (status !== undefined && status >= 400 && status < 500) {
      return reply
        .code(status)
        .send(
          new OverdubError(
            'INPUT_INVALID',
            error.message,
            'See /api/v1/openapi.json for what is expected.',
          ).toJSON(),
        );
    }
    log.error({ err: error, method: request.method, url: request.routeOptions.url }, 'request failed');
    return reply
      .code(500)
      .send(
        new OverdubError('INTERNAL', `Unexpected: ${error.message}`, 'Look at the appliance’s log.').toJSON(),
      );
  };
}

export function notFound(request: FastifyRequest, reply: FastifyReply): FastifyReply {
  return reply
    .code(404)
    .send(
      new OverdubError(
        'NOT_FOUND',
        `There is no ${request.method} ${request.url.split('?')[0]}.`,
        'See /api/v1/openapi.json for what there is.',
      ).toJSON(),
    );
}
