/** Wakes machines by magic packet. */

import { definePlugin } from '@overdub/core';
import { Type } from 'typebox';
import { wakePower } from './wake.ts';

const options = Type.Object(
  {
    machines: Type.Optional(
      Type.Array(Type.String({ minLength: 1 }), {
        description: 'Names, ids or MAC addresses of the machines it wakes. Default: every machine.',
      }),
    ),
    interface: Type.Optional(
      Type.String({
        pattern: '^[^/\\s]{1,15}$',
        description: 'Where packets go out. Default: where the system sends 255.255.255.255.',
      }),
    ),
    address: Type.Optional(
      Type.String({
        pattern: '^\\d{1,3}(\\.\\d{1,3}){3}$',
        description:
          'Where they go: a network’s broadcast address reaches beyond routers that pass it on. Default 255.255.255.255.',
      }),
    ),
    port: Type.Optional(Type.Integer({ minimum: 1, maximum: 65535, description: 'UDP port. Default 9.' })),
    secureOnFile: Type.Optional(
      Type.String({
        minLength: 1,
        description: 'File with the SecureOn password of the cards, in the form of a MAC address.',
      }),
    ),
  },
  { additionalProperties: false },
);

/** See README.md. */
export default definePlugin({
  name: 'power-wol',
  apiVersion: '^1.0.0',
  options,
  apply(ctx, given) {
    ctx.hooks.boot.power.tap(({ machine }) => wakePower(machine, given));
    return undefined;
  },
});
