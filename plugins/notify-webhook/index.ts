import { readFile } from 'node:fs/promises';
import { definePlugin, eventFilter, OverdubError } from '@overdub/core';
import { Type } from 'typebox';
import { deliver } from './deliver.ts';

const options = Type.Object({
  url: Type.String({ pattern: '^https?://', description: 'Where events are posted.' }),
  secretFile: Type.Optional(
    Type.String({ minLength: 1, description: 'File with the secret that signs them. Default: unsigned.' }),
  ),
  events: Type.Optional(
    Type.Array(Type.String({ pattern: '^[a-z-]+\\.([a-z-]+|\\*)$' }), {
      description: 'Only these, such as `operation.failed` or `snapshot.*`. Default: all.',
    }),
  ),
  headers: Type.Optional(Type.Record(Type.String(), Type.String(), { description: 'More request headers.' })),
  attempts: Type.Optional(
    Type.Integer({
      default: 4,
      minimum: 1,
      maximum: 5,
      description: 'Tries in all, 1, 2, 4 … seconds apart.',
    }),
  ),
  timeoutSeconds: Type.Optional(
    Type.Number({ default: 10, exclusiveMinimum: 0, maximum: 10, description: 'Time limit of one try.' }),
  ),
});

/** Posts each event to a URL, signed. */
export default definePlugin({
  name: 'notify-webhook',
  apiVersion: '^1.0.0',
  options,
  apply(ctx, { url, secretFile, events, headers = {}, attempts = 4, timeoutSeconds = 10 }) {
    const wanted = eventFilter(events);
    ctx.hooks.notification.notify.tap(async (event) => {
      if (!wanted(event)) return;
      // Read each time: a secret can be changed without a restart.
      const secret = secretFile === undefined ? undefined : await readSecret(secretFile);
      await deliver(event, {
        url,
        headers,
        attempts,
        timeoutMs: timeoutSeconds * 1000,
        clock: ctx.clock,
        signal: ctx.signal,
        ...(secret === undefined ? {} : { secret }),
      });
    });
    return undefined;
  },
  async start(_ctx, { secretFile }) {
    if (secretFile !== undefined) await readSecret(secretFile);
  },
});

async function readSecret(path: string): Promise<string> {
  const secret = await readFile(path, 'utf8').catch((error: unknown) => {
    throw wrongSecret(path, `cannot be read: ${(error as Error).message}`);
  });
  if (secret.trim() === '') throw wrongSecret(path, 'is empty');
  return secret.trim();
}

function wrongSecret(path: string, why: string): OverdubError {
  return new OverdubError(
    'CONFIG_INVALID',
    `The secret file ${path} ${why}.`,
    'Put the secret that the receiver also knows in it, or leave secretFile out.',
  );
}
