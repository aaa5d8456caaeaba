/** Switches power by IPMI 2.0, through Debian's ipmitool. */

import { access, constants } from 'node:fs/promises';
import { definePlugin, entryOf, OverdubError } from '@overdub/core';
import { Type } from 'typebox';
import { ipmiPower } from './power.ts';

const Controller = Type.Object(
  {
    host: Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9.:-]*$' }),
    port: Type.Optional(Type.Integer({ minimum: 1, maximum: 65535 })),
    user: Type.String({ pattern: '^[^-\\s][^\\s]*$' }),
    passwordFile: Type.Optional(Type.String({ minLength: 1 })),
    passwordEnv: Type.Optional(Type.String({ pattern: '^[A-Za-z_][A-Za-z0-9_]*$' })),
    cipherSuite: Type.Optional(Type.Integer({ minimum: 3, maximum: 17 })),
    privilege: Type.Optional(Type.Union([Type.Literal('OPERATOR'), Type.Literal('ADMINISTRATOR')])),
  },
  { additionalProperties: false },
);

const options = Type.Object(
  {
    machines: Type.Optional(
      Type.Record(Type.String(), Controller, {
        description:
          'Management controllers by machine: name, id or MAC address → `host`, `user`, `passwordFile` or `passwordEnv`, `port` (623), `cipherSuite`, `privilege`.',
      }),
    ),
    program: Type.Optional(
      Type.String({ minLength: 1, description: 'ipmitool’s path. Default /usr/bin/ipmitool.' }),
    ),
  },
  { additionalProperties: false },
);

const PROGRAM = '/usr/bin/ipmitool';

/** See README.md. */
export default definePlugin({
  name: 'power-ipmi',
  apiVersion: '^1.0.0',
  options,
  apply(ctx, { machines = {}, program = PROGRAM }) {
    for (const [name, { passwordFile, passwordEnv }] of Object.entries(machines)) {
      if ((passwordFile === undefined) !== (passwordEnv === undefined)) continue;
      throw new OverdubError(
        'CONFIG_INVALID',
        `power-ipmi: ${name} needs either passwordFile or passwordEnv.`,
        'Put the password into a file that only the appliance can read, and name it there.',
        { plugin: 'power-ipmi' },
      );
    }
    ctx.hooks.boot.power.tap(({ machine }) => {
      const controller = entryOf(machines, machine);
      return controller && ipmiPower(controller, { program, firmware: machine.firmware });
    });
    return undefined;
  },
  async start(_ctx, { program = PROGRAM }) {
    await access(program, constants.X_OK).catch((cause: unknown) => {
      throw new OverdubError(
        'PREREQUISITE_MISSING',
        `power-ipmi: ${program} is not there.`,
        'Install the Debian package ipmitool: apt-get install ipmitool',
        { plugin: 'power-ipmi', cause },
      );
    });
  },
});
