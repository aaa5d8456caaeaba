/** Switches power by DMTF Redfish. */

import { definePlugin, entryOf, OverdubError, type PluginContext } from '@overdub/core';
import { Type } from 'typebox';
import { redfishPower } from './power.ts';
import { RedfishClient } from './session.ts';

const CLOSE_MS = 5000;
const running = new WeakMap<PluginContext, readonly RedfishClient[]>();

const Service = Type.Object(
  {
    url: Type.String({ pattern: '^https://[^\\s/?#@]+/?$' }),
    user: Type.String({ pattern: '^[^:\\s]+$' }),
    passwordFile: Type.Optional(Type.String({ minLength: 1 })),
    passwordEnv: Type.Optional(Type.String({ pattern: '^[A-Za-z_][A-Za-z0-9_]*$' })),
    certificate: Type.Optional(Type.String({ pattern: '^([0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}$' })),
    system: Type.Optional(Type.String({ pattern: '^/redfish/v1/Systems/[^/\\s?#]+/?$' })),
  },
  { additionalProperties: false },
);

const options = Type.Object(
  {
    machines: Type.Optional(
      Type.Record(Type.String(), Service, {
        description:
          'Services by machine: name, id or MAC address → `url` (https), `user`, `passwordFile` or `passwordEnv`, `certificate` (SHA-256 of the one to trust), `system` (needed where a service has several).',
      }),
    ),
  },
  { additionalProperties: false },
);

/** See README.md. */
export default definePlugin({
  name: 'power-redfish',
  apiVersion: '^1.0.0',
  options,
  apply(ctx, { machines = {} }) {
    for (const [name, { passwordFile, passwordEnv }] of Object.entries(machines)) {
      if ((passwordFile === undefined) !== (passwordEnv === undefined)) continue;
      throw new OverdubError(
        'CONFIG_INVALID',
        `power-redfish: ${name} needs either passwordFile or passwordEnv.`,
        'Put the password into a file that only the appliance can read, and name it there.',
        { plugin: 'power-redfish' },
      );
    }
    const clients = Object.fromEntries(
      Object.entries(machines).map(([name, service]) => [name, new RedfishClient(service)]),
    );
    running.set(ctx, Object.values(clients));
    ctx.hooks.boot.power.tap(({ machine }) => {
      const client = entryOf(clients, machine);
      return client && redfishPower(client, machine.firmware);
    });
    return undefined;
  },
  /** Deletes the sessions; one that stays runs out by itself. */
  async stop(ctx) {
    const ends = (running.get(ctx) ?? []).map(async (client) => {
      await client
        .close(AbortSignal.timeout(CLOSE_MS))
        .catch((error: unknown) =>
          ctx.log.warn(
            { service: client.service.url, error: String(error) },
            'its Redfish session was not deleted',
          ),
        );
    });
    await Promise.all(ends);
  },
});
