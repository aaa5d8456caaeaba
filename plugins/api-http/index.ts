import { definePlugin } from '@overdub/core';
import { Type } from 'typebox';
import { registerApi } from './api.ts';

const options = Type.Object({
  openapi: Type.Optional(
    Type.Boolean({ default: true, description: 'Serve `/api/v1/openapi.json`, which needs no token.' }),
  ),
  maxBodyBytes: Type.Optional(
    Type.Integer({ default: 1_048_576, minimum: 1024, description: 'Largest request body, bytes.' }),
  ),
});

/** The public HTTP API under `/api/v1`: everything of `ctx.control`, behind bearer tokens with roles. */
export default definePlugin({
  name: 'api-http',
  apiVersion: '^1.0.0',
  options,
  apply(ctx, { openapi = true, maxBodyBytes = 1_048_576 }) {
    return {
      routes: [
        {
          prefix: '/api',
          register: (server) =>
            registerApi(server, {
              control: () => ctx.control,
              log: ctx.log,
              clock: ctx.clock,
              signal: ctx.signal,
              openapi,
              maxBodyBytes,
            }),
        },
      ],
    };
  },
});
