/** Switches power by a command of the site. */

import { definePlugin } from '@overdub/core';
import { Type } from 'typebox';
import { commandPower } from './power.ts';

const Action = Type.Union(
  (['on', 'off', 'cycle', 'status', 'netboot'] as const).map((action) => Type.Literal(action)),
);

const options = Type.Object(
  {
    command: Type.Array(Type.String({ minLength: 1 }), {
      minItems: 1,
      description:
        'Program and arguments; no shell. The action, the machine’s name and its first MAC address follow them.',
    }),
    actions: Type.Optional(
      Type.Array(Action, {
        description: 'What the command can do; must hold `on`. Default: on, off, status.',
      }),
    ),
    machines: Type.Optional(
      Type.Array(Type.String({ minLength: 1 }), {
        description: 'Names, ids or MAC addresses of the machines it is for. Default: every machine.',
      }),
    ),
    environment: Type.Optional(
      Type.Record(Type.String(), Type.String(), { description: 'More environment variables.' }),
    ),
  },
  { additionalProperties: false },
);

/** See README.md. */
export default definePlugin({
  name: 'power-exec',
  apiVersion: '^1.0.0',
  options,
  apply(ctx, given) {
    ctx.hooks.boot.power.tap(({ machine }) => commandPower(machine, given));
    return undefined;
  },
});
