/** What boot-http can be told. */

import { type Static, Type } from 'typebox';

const File = Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)*\\.efi$' });

export const HttpOptions = Type.Object(
  {
    files: Type.Optional(
      Type.Object(
        { x86: Type.Optional(File), arm: Type.Optional(File) },
        {
          additionalProperties: false,
          description:
            'Name of the boot artifact that firmware loads, by architecture. Default: `x86: "ipxe/ipxe.efi"`, and none for `arm`.',
        },
      ),
    ),
    url: Type.Optional(
      Type.String({
        pattern: '^https?://[^/\\s]+$',
        description:
          'Where firmware fetches it instead of from the appliance: a cache in front of it, or one that speaks HTTPS. Default: the address the machine reached us by.',
      }),
    ),
  },
  { additionalProperties: false },
);

export type HttpOptions = Static<typeof HttpOptions>;
