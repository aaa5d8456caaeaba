import { definePlugin, eventFilter } from '@overdub/core';
import { Type } from 'typebox';
import { runCommand } from './command.ts';

const options = Type.Object({
  command: Type.Array(Type.String({ minLength: 1 }), {
    minItems: 1,
    description: 'Program and arguments; no shell. It gets the event as JSON on standard input.',
  }),
  events: Type.Optional(
    Type.Array(Type.String({ pattern: '^[a-z-]+\\.([a-z-]+|\\*)$' }), {
      description: 'Only these, such as `operation.failed` or `snapshot.*`. Default: all.',
    }),
  ),
  timeoutSeconds: Type.Optional(
    Type.Number({ default: 30, exclusiveMinimum: 0, maximum: 55, description: 'It is killed after this.' }),
  ),
  environment: Type.Optional(
    Type.Record(Type.String(), Type.String(), { description: 'More environment variables.' }),
  ),
});

/** Runs a command for each event. */
export default definePlugin({
  name: 'notify-exec',
  apiVersion: '^1.0.0',
  options,
  apply(ctx, { command, events, timeoutSeconds = 30, environment = {} }) {
    const wanted = eventFilter(events);
    ctx.hooks.notification.notify.tap(async (event) => {
      if (!wanted(event)) return;
      await runCommand(command, event, {
        environment,
        timeoutMs: timeoutSeconds * 1000,
        clock: ctx.clock,
        signal: ctx.signal,
      });
    });
    return undefined;
  },
});
